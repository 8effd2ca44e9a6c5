#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

namespace vmm {

/// A set of pages of RAM that threads share without a lock, one bit each.
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

  /// Removes the page. Whether it was there.
  bool test_and_clear(PageIndex page);
  /// Removes the pages of `range` that are there, and appends them to `taken` in order. A run that
  /// continues the last range of `taken` is joined to it.
  void extract(PageRange range, std::vector<PageRange>& taken);

  /// Adds the page. Whether it was missing.
  bool put(PageIndex page);
  void put(PageRange range);

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
  std::uint64_t pages_;
  std::vector<std::atomic<std::uint64_t>> words_;  ///< as in PageSet
};

}  // namespace vmm
