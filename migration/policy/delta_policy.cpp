#include "migration/policy/delta_policy.hpp"

#include <algorithm>

namespace migration {

namespace {

/// Of pages: enough to tell, and soon over.
constexpr double kTriedWindow = 512 * 4096;
/// As for compression: what is promised must be worth the change.
constexpr double kDeltaMargin = 1.3;
constexpr double kDeltaRatio = 0.9;
constexpr double kFirstPassOver = 64 << 20;

}  // namespace

bool DeltaPolicy::pays(double link) const {
  return to_pass_over_ <= 0 && ratio_ < kDeltaRatio && speed_ > kDeltaMargin * link;
}

void DeltaPolicy::tried(double in, double out, double seconds) {
  window_.in += in;
  window_.out += out;
  window_.seconds += seconds;
  if (window_.in < kTriedWindow) return;
  speed_ = window_.in / std::max(window_.seconds, 1e-9);
  ratio_ = window_.out / window_.in;
  window_ = {};
  if (ratio_ < kDeltaRatio) {
    penalty_ = 0;
    return;
  }
  penalty_ = penalty_ == 0 ? kFirstPassOver : 2 * penalty_;
  to_pass_over_ = penalty_;
}

void DeltaPolicy::passed_over(double bytes) {
  if (to_pass_over_ <= 0) return;
  to_pass_over_ -= bytes;
  // Nothing is known of how they are now.
  if (to_pass_over_ <= 0) ratio_ = 0;
}

}  // namespace migration
