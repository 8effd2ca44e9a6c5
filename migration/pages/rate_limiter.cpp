#include "migration/pages/rate_limiter.hpp"

#include <algorithm>

namespace migration {

void RateLimiter::settle(Clock::time_point now) {
  const std::chrono::duration<double> passed = now - settled_;
  settled_ = now;
  // An idle link saves up nothing: debt does not go below zero, so there is no burst later.
  debt_ = std::max(0.0, debt_ - passed.count() * static_cast<double>(rate_));
}

void RateLimiter::take(std::uint64_t bytes) {
  std::unique_lock lock(mutex_);
  while (!stopped_ && rate_ != 0) {
    const auto now = Clock::now();
    settle(now);
    if (debt_ <= 0) break;
    const std::chrono::duration<double> wait(debt_ / static_cast<double>(rate_));
    changed_.wait_until(lock, now + std::chrono::ceil<Clock::duration>(wait));
  }
  if (rate_ != 0) debt_ += static_cast<double>(bytes);
}

void RateLimiter::charge(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (rate_ == 0) return;
  settle(Clock::now());
  debt_ += static_cast<double>(bytes);
}

void RateLimiter::set_rate(std::uint64_t bytes_per_second) {
  {
    const std::lock_guard lock(mutex_);
    settle(Clock::now());
    rate_ = bytes_per_second;
    if (rate_ == 0) debt_ = 0;
  }
  changed_.notify_all();
}

std::uint64_t RateLimiter::rate() const {
  const std::lock_guard lock(mutex_);
  return rate_;
}

void RateLimiter::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

}  // namespace migration
