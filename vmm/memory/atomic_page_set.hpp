#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

namespace vmm {

/// A set of pages of RAM that threads share without a lock, one bit each. Words are in blocks, and
/// blocks that have no page, or all, are one for all of them until a part of one is changed: RAM
/// that nobody touches takes no room and hardly any time.
///
/// Each page is taken by exactly one of the threads that try. A thread that took a page sees all
/// that the thread that put it there had written before. What looks at several pages sees each 64
/// of them (page / 64) at one moment, but not all of them at the same one.
///
/// Pages are below `page_count()`, ranges end at most there; std::out_of_range otherwise.
class AtomicPageSet {
 public:
  /// Empty, or all of RAM.
  explicit AtomicPageSet(std::uint64_t pages, bool all = false);
  explicit AtomicPageSet(const PageSet& pages);
  AtomicPageSet(AtomicPageSet&& other) noexcept;
  AtomicPageSet& operator=(AtomicPageSet&& other) noexcept;
  ~AtomicPageSet();

  /// Removes the page. Whether it was there.
  bool test_and_clear(PageIndex page);
  /// Removes the pages of `range` that are there, and appends them to `taken` in order. A run that
  /// continues the last range of `taken` is joined to it.
  void extract(PageRange range, std::vector<PageRange>& taken);

  /// Adds the page. Whether it was missing. What the thread had written before is seen by who takes
  /// the page next, be it there already.
  bool put(PageIndex page);
  void put(PageRange range);
  /// Takes out all pages and adds them to `into`, of as much RAM. None is lost when that throws.
  void move_into(PageSet& into);

  [[nodiscard]] std::uint64_t page_count() const { return pages_; }
  [[nodiscard]] bool test(PageIndex page) const;
  [[nodiscard]] std::uint64_t count() const { return count({0, pages_}); }
  [[nodiscard]] std::uint64_t count(PageRange range) const;
  /// The nearest page of the set in [page, page_count()). Any `page` is allowed.
  [[nodiscard]] std::optional<PageIndex> first_at_or_after(PageIndex page) const;
  /// The nearest page of the set in [0, page). Any `page` is allowed.
  [[nodiscard]] std::optional<PageIndex> last_before(PageIndex page) const;
  [[nodiscard]] PageSet snapshot() const;

 private:
  static constexpr std::uint64_t kBlockPages = PageSet::kBlockPages;
  static constexpr std::size_t kBlockWords = kBlockPages / 64;
  struct Block {
    explicit Block(std::uint64_t each);
    std::array<std::atomic<std::uint64_t>, kBlockWords> words;
  };

  /// What blocks without a page, and with all, share. Nobody writes into them. The last block is
  /// never all where RAM ends within it.
  static Block empty_block;
  static Block full_block;

  [[nodiscard]] static bool is_shared(const Block* block) {
    return block == &empty_block || block == &full_block;
  }
  [[nodiscard]] std::uint64_t word(std::size_t index) const;
  /// To be changed: makes it, where it is a shared one.
  [[nodiscard]] Block& block(std::size_t index);
  bool replace(std::size_t index, Block& from, Block& by);

  std::uint64_t pages_;
  std::vector<std::atomic<Block*>> blocks_;  ///< as in PageSet; owns all but the shared ones
};

}  // namespace vmm
