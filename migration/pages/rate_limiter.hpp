#pragma once

#include <chrono>
#include <cstdint>

#include "vmm/os/mutex.hpp"

namespace migration {

/// Holds all connections of a migration together to a number of bytes per second. Each page sender
/// takes its bytes before it writes them and is held until they are due; what must not wait is
/// charged, and the pages behind it wait for it. Changing the rate and stopping take effect at
/// once, also for who waits.
class RateLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  /// 0 is no limit.
  explicit RateLimiter(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  /// Returns when `bytes` may be written, or at once after stop().
  void acquire(std::uint64_t bytes);
  /// Notes that `bytes` are written in any case.
  void charge(std::uint64_t bytes);
  /// How long it is until all that was taken and charged is due; 0 without a limit, or after
  /// stop().
  [[nodiscard]] Clock::duration due_in();
  void set_rate(std::uint64_t bytes_per_second);
  [[nodiscard]] std::uint64_t rate() const;
  void stop();
  /// Holds again, after stop().
  void restart();

 private:
  void catch_up(Clock::time_point now) FERRY_REQUIRES(mutex_);

  mutable vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::uint64_t rate_ FERRY_GUARDED_BY(mutex_);
  /// Bytes taken that the rate has not yet paid for; negative is credit.
  double debt_ FERRY_GUARDED_BY(mutex_) = 0;
  Clock::time_point settled_ FERRY_GUARDED_BY(mutex_) = Clock::now();
  bool stopped_ FERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace migration
