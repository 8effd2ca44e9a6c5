#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

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
  void take(std::uint64_t bytes);
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
  void settle(Clock::time_point now);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t rate_;
  double debt_ = 0;  ///< bytes taken that the rate has not yet paid for; negative is credit
  Clock::time_point settled_ = Clock::now();
  bool stopped_ = false;
};

}  // namespace migration
