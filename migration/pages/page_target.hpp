#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "migration/pages/page_set.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

class PageFetcher;

/// Where the channels of a migration put pages. Several threads use it.
class PageTarget {
 public:
  explicit PageTarget(vmm::GuestMemory& ram);

  /// Before pages are written into RAM where no vCPU runs: if RAM is a file, a block that gets many
  /// of them becomes a huge page first. On a tmpfs each page would cost a page fault, which takes
  /// longer than to bring it.
  void make_room(std::span<const vmm::PageRange> pages);

  vmm::GuestMemory& memory;
  /// Pages that hold something, so that a zero page costs nothing where nothing is.
  AtomicPageSet landed;
  /// In post-copy: the guest may be running, and pages are installed by this.
  std::atomic<PageFetcher*> fetcher = nullptr;

 private:
  AtomicPageSet small_;  ///< blocks, by number, of which nobody has tried to make a huge page
};

}  // namespace migration
