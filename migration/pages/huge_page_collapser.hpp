#pragma once

#include <cstddef>
#include <span>

#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// Makes huge pages in RAM that is a file (MADV_COLLAPSE), for pages that are about to come: on a
/// tmpfs each page alone would cost a page fault, which takes longer than to bring it. Several
/// threads may use it.
class HugePageCollapser {
 public:
  /// `ram` is a mapping of the whole file, aligned as a huge page is.
  explicit HugePageCollapser(std::span<std::byte> ram);

  /// Makes no huge pages where many pages are there: that would not save page faults but copy what
  /// is there.
  void exclude(const vmm::PageSet& there);
  /// A block in which many of `pages` lie becomes a huge page, if it can; what is there stays.
  /// `pages` in ascending order.
  void collapse_for(std::span<const vmm::PageRange> pages);

 private:
  std::span<std::byte> ram_;
  vmm::AtomicPageSet untried_;  ///< blocks, by number; half a block at the end is none
};

}  // namespace migration
