#include "migration/policy/channel_policy.hpp"

#include <algorithm>

namespace migration {

namespace {

/// More need a link that few hosts have.
constexpr unsigned kMostOpen = 4;
/// Of each channel: several chunks. What one that has joined brings is looked at for longer.
constexpr double kChannelWindow = 0.010;
constexpr double kTrialWindow = 0.020;
/// Channels that work for such a share of their time are limited by the processor.
constexpr double kBusyShare = 0.6;
/// Of the wait for a processor not more counts than so many times what they ran: who seldom works
/// waits whenever it wakes up, and has no work meanwhile.
constexpr double kMostWait = 4;
/// Those that would work for less than this, with one of them gone, can do without it.
constexpr double kSpareShare = 0.45;
/// One that has joined is worth it from so many times the processors on.
constexpr double kWorth = 1.2;
constexpr unsigned kFirstWait = 8;

}  // namespace

unsigned channels_to_open(unsigned processors) { return std::clamp(processors, 1U, kMostOpen); }

void ChannelPolicy::worked(const Work& work) {
  window_.ran += work.ran;
  window_.waited += work.waited;
  window_.passed += work.passed;
  if (window_.passed < (joined_ ? kTrialWindow : kChannelWindow) * active_) return;
  decide();
  window_ = {};
}

void ChannelPolicy::decide() {
  const double processors = active_ * window_.ran / window_.passed;
  const double waited = std::min(window_.waited, kMostWait * window_.ran);
  const double busy = (window_.ran + waited) / window_.passed;
  const bool in_vain = joined_ && processors < kWorth * alone_;
  joined_ = false;
  if (to_wait_ > 0) --to_wait_;
  if (in_vain) {
    --active_;
    penalty_ = penalty_ == 0 ? kFirstWait : 2 * penalty_;
    to_wait_ = penalty_;
  } else if (active_ > 1 && busy * active_ < kSpareShare * (active_ - 1)) {
    --active_;
  } else if (active_ < most_ && busy >= kBusyShare && to_wait_ == 0) {
    ++active_;
    joined_ = true;
    alone_ = processors;
  }
}

}  // namespace migration
