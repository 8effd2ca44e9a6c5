#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vmm/memory/guest_address.hpp"

namespace vmm {

/// A set of pages of RAM, one bit each, as a pure value: bit n of word w is page 64 w + n, as in
/// KVM's dirty log. Words are in blocks, and a block that no page was ever put in takes no room and
/// no time: what is done with a set costs what is in it, and not what RAM there is.
/// std::out_of_range for a page at or above `pages()`, and for a set of another size, but for `==`.
///
/// Threads may change one set at the same time if no two of them do in one block.
class PageSet {
 public:
  /// 8 MiB of RAM.
  static constexpr std::uint64_t kBlockPages = 2048;

  PageSet() = default;
  explicit PageSet(std::uint64_t pages);
  PageSet(const PageSet& other);
  PageSet(PageSet&&) noexcept = default;
  PageSet& operator=(const PageSet& other);
  PageSet& operator=(PageSet&&) noexcept = default;
  ~PageSet() = default;

  [[nodiscard]] std::uint64_t pages() const { return pages_; }
  [[nodiscard]] bool test(PageIndex page) const;
  void set(PageIndex page) { set(PageRange{page, 1}); }
  void reset(PageIndex page) { reset(PageRange{page, 1}); }
  void set(PageRange range);
  void reset(PageRange range);
  void clear();

  [[nodiscard]] std::uint64_t count() const { return count({0, pages_}); }
  [[nodiscard]] std::uint64_t count(PageRange range) const;
  [[nodiscard]] bool empty() const;

  PageSet& operator|=(const PageSet& other);
  PageSet& operator&=(const PageSet& other);
  /// Takes out of this set what is in `other`.
  PageSet& operator-=(const PageSet& other);
  /// The same within `range`.
  void subtract(const PageSet& other, PageRange range);
  bool operator==(const PageSet& other) const;

  [[nodiscard]] std::optional<PageIndex> first_at_or_after(PageIndex page) const {
    return find(page, pages_);
  }
  /// The first maximal run of set pages in [from, end), cut at `end`; nullopt when there is none.
  [[nodiscard]] std::optional<PageRange> next_range(PageIndex from, PageIndex end) const;
  /// All maximal runs inside `within`.
  [[nodiscard]] std::vector<PageRange> ranges(PageRange within) const;
  [[nodiscard]] std::vector<PageRange> ranges() const { return ranges({0, pages_}); }

  [[nodiscard]] std::size_t word_count() const { return (pages_ + 63) / 64; }
  [[nodiscard]] std::uint64_t word(std::size_t index) const;
  /// Adds the pages of a word.
  void add_word(std::size_t index, std::uint64_t bits);
  /// The words of the block with this page, for the kernel to read; none when there is no block.
  [[nodiscard]] std::span<const std::uint64_t> block_words(PageIndex page) const;

 private:
  static constexpr std::size_t kBlockWords = kBlockPages / 64;
  using Block = std::array<std::uint64_t, kBlockWords>;
  static constexpr Block kNone{};

  /// Makes it.
  [[nodiscard]] Block& block(std::size_t index);
  /// The first page in [from, end). Blocks behind are not looked at: others may change them.
  [[nodiscard]] std::optional<PageIndex> find(PageIndex from, PageIndex end) const;

  std::uint64_t pages_ = 0;
  /// Bits at and above `pages_` are always zero. A block may be there and have no page.
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace vmm
