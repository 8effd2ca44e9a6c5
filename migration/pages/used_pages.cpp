#include "migration/pages/used_pages.hpp"

#include <algorithm>

namespace migration {

namespace {

/// 256 MiB: a millisecond or two where the host has to be asked page by page.
constexpr std::uint64_t kStepPages = 65536;

}  // namespace

void UsedPages::look(const vmm::GuestMemory& memory, std::chrono::steady_clock::duration at_most) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  while (next_ < used_.pages()) {
    const vmm::PageRange step{next_, std::min(kStepPages, used_.pages() - next_)};
    memory.add_populated(step, used_);
    next_ = step.end();
    seen_ += used_.count(step);
    if (std::chrono::steady_clock::now() >= end) return;
  }
}

std::uint64_t UsedPages::count(std::uint64_t resident) const {
  return seen_ + std::min(resident - std::min(resident, seen_), used_.pages() - next_);
}

}  // namespace migration
