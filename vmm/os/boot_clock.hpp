#pragma once

#include <chrono>
#include <ctime>

namespace vmm {

/// CLOCK_BOOTTIME, for std::chrono: never set, and goes on while the host sleeps, as kvmclock does.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;

  static time_point now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
};

}  // namespace vmm
