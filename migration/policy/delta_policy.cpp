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

/// Unless it is told, the cache is one such share of RAM, and of what the host can spare while the
/// guest takes memory too, and no more than this.
constexpr std::uint64_t kCacheShare = 8;
constexpr std::uint64_t kMostCache = std::uint64_t{1} << 30;

}  // namespace

std::uint64_t delta_cache_bytes(const MigrateOptions& options, std::uint64_t ram) {
  if (options.delta_cache) return std::min(*options.delta_cache, ram);
  const std::uint64_t room = options.memory_room.value_or(ram);
  return std::min(std::min(ram, room) / kCacheShare, kMostCache);
}

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
