#include "migration/policy/duplicate_policy.hpp"

#include <algorithm>

namespace migration {

namespace {

constexpr double kLookedWindow = 4 << 20;
/// Hashing may take one such share of the time that the pages take on the wire: they are on it
/// meanwhile.
constexpr double kWireShare = 4;
constexpr double kLookAgain = 64 << 20;
/// Few copies are found at first, when little has been sent that they could be copies of.
constexpr std::uint64_t kLookAtLeast = 32768;
constexpr std::uint64_t kWorthOneIn = 512;

}  // namespace

bool DuplicatePolicy::pays(double link) const {
  if (looked_ >= kLookAtLeast && found_ * kWorthOneIn < looked_) return false;
  return speed_ > kWireShare * link;
}

void DuplicatePolicy::passed_over(double bytes) {
  passed_over_ += bytes;
  if (passed_over_ < kLookAgain) return;
  passed_over_ = 0;
  speed_ = kAssumedSpeed;
}

void DuplicatePolicy::looked(double bytes, bool found, double seconds) {
  ++looked_;
  if (found) ++found_;
  window_.bytes += bytes;
  window_.seconds += seconds;
  if (window_.bytes < kLookedWindow) return;
  speed_ = window_.bytes / std::max(window_.seconds, 1e-9);
  window_ = {};
}

}  // namespace migration
