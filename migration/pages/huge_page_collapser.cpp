#include "migration/pages/huge_page_collapser.hpp"

#include <algorithm>

#include "vmm/memory/huge_page.hpp"

namespace migration {

namespace {

/// A huge page takes as long as about so many page faults.
constexpr std::uint64_t kManyPages = 64;

}  // namespace

HugePageCollapser::HugePageCollapser(std::span<std::byte> ram)
    : ram_(ram), untried_(ram.size() / vmm::kHugePage, true) {}

void HugePageCollapser::exclude(const vmm::PageSet& there) {
  for (std::uint64_t block = 0; block < untried_.page_count(); ++block) {
    const vmm::PageRange pages{block * vmm::kHugePagePages, vmm::kHugePagePages};
    if (there.count(pages) >= kManyPages) untried_.test_and_clear(block);
  }
}

void HugePageCollapser::collapse_for(std::span<const vmm::PageRange> pages) {
  std::uint64_t block = 0;
  std::uint64_t count = 0;  // pages in that block
  for (const vmm::PageRange& range : pages) {
    for (vmm::PageIndex page = range.first; page < range.end();) {
      if (page / vmm::kHugePagePages != block) count = 0;
      block = page / vmm::kHugePagePages;
      const vmm::PageIndex end = std::min(range.end(), (block + 1) * vmm::kHugePagePages);
      count += end - page;
      page = end;
      if (count < kManyPages || block >= untried_.page_count() || !untried_.test_and_clear(block))
        continue;
      vmm::make_huge(ram_.data() + block * vmm::kHugePage);
    }
  }
}

}  // namespace migration
