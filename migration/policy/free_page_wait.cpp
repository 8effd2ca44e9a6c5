#include "migration/policy/free_page_wait.hpp"

#include <algorithm>
#include <utility>

#include "vmm/memory/guest_address.hpp"

namespace migration {

FreePageWait::FreePageWait(std::uint64_t cap)
    : rate_(static_cast<double>(cap == 0 ? kLinkRate : std::min(cap, kLinkRate))),
      window_(std::max<Time>(kWindow, std::chrono::duration_cast<Time>(
                                          std::chrono::duration<double>(kTwoBlocks / rate_)))) {}

bool FreePageWait::goes_on(Time now, const Heard& heard) {
  if (heard.over || too_dear(heard)) return false;
  if (!heard.begun) return now < kTakesUp;
  if (!std::exchange(begun_, true)) window_began_ = now;
  const Time window = now - window_began_;
  if (window < window_) return true;
  const std::uint64_t named = (heard.pages - pages_before_) * vmm::kPageSize;
  pages_before_ = heard.pages;
  window_began_ = now;
  const double seconds = std::chrono::duration<double>(window).count();
  return static_cast<double>(named) >= rate_ * seconds;
}

}  // namespace migration
