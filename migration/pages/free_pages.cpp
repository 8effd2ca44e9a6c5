#include "migration/pages/free_pages.hpp"

#include <utility>

namespace migration {

FreePages::FreePages(const vmm::GuestMemory& memory, vmm::PageSet touched,
                     std::function<void()> heard)
    : memory_(memory),
      heard_(std::move(heard)),
      touched_(std::move(touched)),
      free_(memory.page_count()),
      written_(memory.page_count()) {}

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
  {
    const vmm::Lock lock(mutex_);
    for (const vmm::PageRange& range : pages) add(range);
    if (!FreePageWait::too_dear(so_far_)) return;
  }
  heard_();
}

void FreePages::add(vmm::PageRange range) {
  const std::uint64_t named = free_.count(range);
  free_.set(range);
  for (const vmm::PageRange& written : written_.ranges(range)) free_.reset(written);
  so_far_.pages += free_.count(range) - named;
  const std::uint64_t touched = touched_.count(range);
  if (touched == range.count) return;
  memory_.add_populated(range, touched_);
  so_far_.grown += touched_.count(range) - touched;
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

vmm::PageSet FreePages::touched() const {
  const vmm::Lock lock(mutex_);
  return touched_;
}

}  // namespace migration
