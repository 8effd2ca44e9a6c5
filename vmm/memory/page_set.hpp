#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vmm/memory/guest_address.hpp"

namespace vmm {

/// A set of pages of RAM, one bit each: a pure value, in the layout of KVM_GET_DIRTY_LOG (bit n of
/// word w is page 64 w + n). Bits at and above `pages()` are always zero. std::out_of_range for a
/// page there, and for a set of another size.
class PageSet {
 public:
  PageSet() = default;
  explicit PageSet(std::uint64_t pages);

  [[nodiscard]] std::uint64_t pages() const { return pages_; }
  [[nodiscard]] bool test(PageIndex page) const;
  void set(PageIndex page);
  void reset(PageIndex page);
  void set(PageRange range);
  void reset(PageRange range);
  void clear();

  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] std::uint64_t count(PageRange range) const;
  [[nodiscard]] bool empty() const;

  PageSet& operator|=(const PageSet& other);
  PageSet& operator&=(const PageSet& other);
  /// Takes out of this set what is in `other`.
  PageSet& operator-=(const PageSet& other);
  bool operator==(const PageSet&) const = default;

  /// The first maximal run of set pages in [from, end), cut at `end`; nullopt when there is none.
  [[nodiscard]] std::optional<PageRange> next_range(PageIndex from, PageIndex end) const;
  /// All maximal runs inside `within`.
  [[nodiscard]] std::vector<PageRange> ranges(PageRange within) const;
  [[nodiscard]] std::vector<PageRange> ranges() const { return ranges({0, pages_}); }

  /// The raw words, for the kernel to fill. The writer keeps the bits above `pages()` zero.
  [[nodiscard]] std::span<std::uint64_t> words() { return words_; }
  [[nodiscard]] std::span<const std::uint64_t> words() const { return words_; }

 private:
  std::uint64_t pages_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace vmm
