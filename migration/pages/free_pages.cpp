#include "migration/pages/free_pages.hpp"

#include <utility>

namespace migration {

FreePages::FreePages(std::uint64_t pages, std::function<void()> heard)
    : heard_(std::move(heard)), free_(pages), written_(pages) {}

void FreePages::begins() {
  {
    const vmm::Lock lock(mutex_);
    so_far_.begun = true;
  }
  heard_();
}

void FreePages::told_all() {
  {
    const vmm::Lock lock(mutex_);
    so_far_.over = true;
  }
  heard_();
}

void FreePages::free(std::span<const vmm::PageRange> pages) {
  const vmm::Lock lock(mutex_);
  for (const vmm::PageRange& range : pages) {
    const std::uint64_t before = free_.count(range);
    free_.set(range);
    for (const vmm::PageRange& written : written_.ranges(range)) free_.reset(written);
    const std::uint64_t after = free_.count(range);
    so_far_.pages += after - before;
  }
}

void FreePages::written(const vmm::PageSet& pages) {
  const vmm::Lock lock(mutex_);
  written_ |= pages;
  free_ -= pages;
}

std::vector<vmm::PageRange> FreePages::in(vmm::PageRange range) const {
  const vmm::Lock lock(mutex_);
  return free_.ranges(range);
}

FreePageWait::Heard FreePages::so_far() const {
  const vmm::Lock lock(mutex_);
  return so_far_;
}

}  // namespace migration
