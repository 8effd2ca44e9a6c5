#include "migration/pages/rate_limiter.hpp"

#include <algorithm>

namespace migration {

namespace {

/// What an idle link may save up. A sleeper wakes up a little late each time: without credit for
/// that, a third of the rate would be lost in blocks that last 0.3 ms.
constexpr std::chrono::duration<double> kMostCredit{0.004};
/// Who has to wait does so until there is credit for several blocks.
constexpr std::chrono::duration<double> kWakeUpWith{0.002};

}  // namespace

void RateLimiter::catch_up(Clock::time_point now) {
  const std::chrono::duration<double> passed = now - settled_;
  settled_ = now;
  const auto rate = static_cast<double>(rate_);
  debt_ = std::max(-kMostCredit.count() * rate, debt_ - passed.count() * rate);
}

void RateLimiter::acquire(std::uint64_t bytes) {
  vmm::Lock lock(mutex_);
  while (!stopped_ && rate_ != 0) {
    const auto now = Clock::now();
    catch_up(now);
    if (debt_ <= 0) break;
    const auto wait =
        std::chrono::duration<double>(debt_ / static_cast<double>(rate_)) + kWakeUpWith;
    changed_.wait_until(lock, now + std::chrono::ceil<Clock::duration>(wait));
  }
  if (rate_ != 0) debt_ += static_cast<double>(bytes);
}

void RateLimiter::charge(std::uint64_t bytes) {
  const vmm::Lock lock(mutex_);
  // Only what was saved up until now pays for it.
  catch_up(Clock::now());
  if (rate_ != 0) debt_ += static_cast<double>(bytes);
}

RateLimiter::Clock::duration RateLimiter::due_in() {
  const vmm::Lock lock(mutex_);
  catch_up(Clock::now());
  if (stopped_ || rate_ == 0 || debt_ <= 0) return {};
  return std::chrono::ceil<Clock::duration>(
      std::chrono::duration<double>(debt_ / static_cast<double>(rate_)));
}

void RateLimiter::set_rate(std::uint64_t bytes_per_second) {
  {
    const vmm::Lock lock(mutex_);
    catch_up(Clock::now());
    rate_ = bytes_per_second;
    if (rate_ == 0) debt_ = 0;
  }
  changed_.notify_all();
}

std::uint64_t RateLimiter::rate() const {
  const vmm::Lock lock(mutex_);
  return rate_;
}

void RateLimiter::stop() {
  {
    const vmm::Lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

void RateLimiter::restart() {
  const vmm::Lock lock(mutex_);
  stopped_ = false;
}

}  // namespace migration
