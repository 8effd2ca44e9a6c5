#include "migration/policy/switch_policy.hpp"

#include <algorithm>

namespace migration {

namespace {

constexpr double kSample = 4 * 1024.0 * 1024;  // bytes sent, at least
constexpr double kSampleShare = 1.0 / 64;      // and of the rest: to find out costs 3 to 5 %
constexpr double kPushHeadway = 0.3;
constexpr unsigned kBadSamples = 2;

}  // namespace

bool SwitchPolicy::in_vain(double remaining_bytes, double sent_bytes) {
  const double sent = sent_bytes - sent_;
  if (begun_ && sent < std::max(kSample, kSampleShare * remaining_)) return bad_ >= kBadSamples;
  if (begun_) bad_ = remaining_ - remaining_bytes < kPushHeadway * sent ? bad_ + 1 : 0;
  begun_ = true;
  remaining_ = remaining_bytes;
  sent_ = sent_bytes;
  return bad_ >= kBadSamples;
}

}  // namespace migration
