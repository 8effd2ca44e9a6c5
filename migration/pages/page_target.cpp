#include "migration/pages/page_target.hpp"

#include <algorithm>

#include "vmm/memory/huge_page.hpp"

namespace migration {

namespace {

/// A huge page takes as long as about so many page faults.
constexpr std::uint64_t kManyPages = 64;

}  // namespace

PageTarget::PageTarget(vmm::GuestMemory& ram)
    : memory(ram),
      landed(ram.page_count()),
      small_(ram.page_count() / vmm::kHugePagePages, ram.file() >= 0) {}

void PageTarget::make_room(std::span<const vmm::PageRange> pages) {
  std::uint64_t block = 0;
  std::uint64_t count = 0;  // pages of that block
  for (const vmm::PageRange& range : pages) {
    for (vmm::PageIndex page = range.first; page < range.end();) {
      if (page / vmm::kHugePagePages != block) count = 0;
      block = page / vmm::kHugePagePages;
      const vmm::PageIndex end = std::min(range.end(), (block + 1) * vmm::kHugePagePages);
      count += end - page;
      page = end;
      if (count < kManyPages || block >= small_.page_count() || !small_.take(block)) continue;
      vmm::make_huge(memory.pages({block * vmm::kHugePagePages, vmm::kHugePagePages}));
    }
  }
}

}  // namespace migration
