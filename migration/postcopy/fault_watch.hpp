#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace migration {

/// Whether faults are many, and on which processor they are served. Then those that move the rest
/// take care not to be in their way: a vCPU often waits.
class FaultWatch {
 public:
  using Clock = std::chrono::steady_clock;

  /// Many are so many within so long; and for so long after that.
  static constexpr std::uint64_t kMany = 8;
  static constexpr std::chrono::milliseconds kMoment{20};

  /// The thread that serves them: one more.
  void served() {
    if (++served_ % kMany == 0) look(Clock::now(), ::sched_getcpu());
  }

  /// The same, when kMany were served since the last call.
  void look(Clock::time_point now, int processor) {
    const bool many = now - last_ < kMoment;
    const bool stays = processor == last_processor_;
    last_ = now;
    last_processor_ = processor;
    if (!many) return;
    if (stays) processor_.store(processor, std::memory_order_relaxed);
    until_.store(now + kMoment, std::memory_order_release);
  }

  // Any thread.
  [[nodiscard]] bool many(Clock::time_point now = Clock::now()) const {
    return now < until_.load(std::memory_order_acquire);
  }
  /// The processor to leave to those that serve (vmm::keep_off): a copy of some hundred KiB in
  /// between would leave its caches cold, and not every kernel interrupts one. The last one where
  /// they were served at two looks in a row: a thread that is moved to and fro takes the others
  /// nowhere. -1 when there is none, and when faults are few.
  [[nodiscard]] int busy_processor(Clock::time_point now = Clock::now()) const {
    return many(now) ? processor_.load(std::memory_order_relaxed) : -1;
  }

 private:
  std::uint64_t served_ = 0;
  Clock::time_point last_;
  int last_processor_ = -1;
  std::atomic<int> processor_ = -1;
  std::atomic<Clock::time_point> until_{Clock::time_point{}};
};

}  // namespace migration
