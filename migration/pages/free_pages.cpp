#include "migration/pages/free_pages.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace migration {

namespace {

/// Pages that are taken at a time, 64 MiB: others ask in between.
constexpr std::uint64_t kStep = 16384;

}  // namespace

FreePages::FreePages(const vmm::GuestMemory& memory, vmm::PageSet touched,
                     std::function<void()> heard)
    : memory_(memory),
      heard_(std::move(heard)),
      touched_(std::move(touched)),
      free_(memory.page_count()),
      written_(memory.page_count()),
      so_far_{.ram = memory.page_count()} {}

void FreePages::begins() { hear(&FreePageWait::Heard::begun); }

void FreePages::told_all() { hear(&FreePageWait::Heard::over); }

void FreePages::hear(bool FreePageWait::Heard::*what) {
  {
    const vmm::Lock lock(mutex_);
    if (std::exchange(so_far_.*what, true)) return;
  }
  heard_();
}

void FreePages::free(std::span<const vmm::PageRange> pages) {
  for (const vmm::PageRange& range : pages) {
    for (vmm::PageIndex first = range.first; first < range.end(); first += kStep) {
      if (!take({first, std::min(kStep, range.end() - first)})) return;
    }
  }
}

/// False when it is too dear, of which nothing more is taken.
bool FreePages::take(vmm::PageRange range) {
  {
    const vmm::Lock lock(mutex_);
    if (FreePageWait::too_dear(so_far_)) return false;
    so_far_.named += range.count;
    try {
      add(range);
    } catch (const std::exception&) {
      so_far_.failed = true;  // the guest runs on, and its pages are sent
    }
    if (!FreePageWait::too_dear(so_far_)) return true;
  }
  heard_();
  return false;
}

void FreePages::add(vmm::PageRange range) {
  const std::uint64_t named = free_.count(range);
  if (named == range.count) return;
  // Never one that was written, also where there is no memory for the rest.
  vmm::PageIndex from = range.first;
  for (const vmm::PageRange& run : written_.ranges(range)) {
    free_.set(vmm::PageRange{from, run.first - from});
    from = run.end();
  }
  free_.set(vmm::PageRange{from, range.end() - from});
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
