#pragma once

#include <cstdint>

#include "guest/cpu/processor.hpp"

namespace guest {

/// Compares the interrupts of a vCPU's periodic timer with the time that passed. A vCPU that
/// sleeps would never notice that its timer is gone, so vCPU 0 looks after the others; its own
/// shows by its ticks.
class TimerWatch {
 public:
  /// Starts the timer; hz = 0: there is none.
  TimerWatch(Processor& cpu, std::uint64_t hz);

  /// To be called at every look at the TSC. Fails the machine when the count falls behind.
  void step(std::uint64_t now);

 private:
  void open_window();
  void check_others();

  Processor& cpu_;
  std::uint64_t hz_;
  std::uint64_t period_;
  std::uint64_t last_;
  std::uint64_t carry_ = 0;  // time watched that makes no full period yet
  std::uint64_t window_time_ = 0;
  std::uint64_t window_count_ = 0;
  int windows_ = 0;
  std::uint64_t others_[GUEST_MAX_CPUS] = {};
};

}  // namespace guest
