#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "tests/vmm/kvm/guest_fixture.hpp"

namespace vmm {
namespace {

/// As much as it can, so that what it does is a measure of how long it ran.
constexpr const char* kBusy = "tick=2 fill=4 dirty=100000000";

class Throttle : public GuestTest {
 protected:
  /// Writes a second in each of the next `lines` stretches between lines of ticks, sorted.
  std::vector<double> rates(std::size_t lines) {
    // One more: the first stretch has begun already.
    EXPECT_TRUE(output_.wait_for_tick_lines(lines + 1));
    const auto writes = output_.values("writes");
    const auto times = output_.values("time_us");
    std::vector<double> rates;
    for (std::size_t i = writes.size() - std::min(lines, writes.size() - 1); i < writes.size();
         ++i) {
      rates.push_back(static_cast<double>(writes[i] - writes[i - 1]) * 1e6 /
                      static_cast<double>(times[i] - times[i - 1]));
    }
    std::ranges::sort(rates);
    return rates;
  }
};

// Wide margins: whatever else this machine does at the time slows the guest too.
TEST_F(Throttle, SlowsTheGuestAndLetsItGoOn) {
  const auto machine = make_guest(kBusy);
  machine->resume();
  const double full = rates(3).back();
  ASSERT_GT(full, 0);

  machine->throttle(80);
  const auto slowed = rates(3);
  EXPECT_LT(slowed[slowed.size() / 2], 0.6 * full);
  EXPECT_GT(slowed.back(), 0);

  machine->throttle(0);
  const auto give_up = std::chrono::steady_clock::now() + kDeadline;
  double again = 0;
  while (again < 0.6 * full && std::chrono::steady_clock::now() < give_up) again = rates(1).back();
  EXPECT_GE(again, 0.6 * full);
}

TEST_F(Throttle, HoldsUpNeitherAPauseNorAResume) {
  const auto machine = make_guest(kBusy, 2);
  machine->throttle(99);
  machine->resume();
  ASSERT_TRUE(output_.wait_for("abc"));
  for (int i = 0; i < 50; ++i) {
    machine->pause();
    machine->resume();
  }
  machine->throttle(0);
  ASSERT_TRUE(output_.wait_for_tick_lines(2));
  EXPECT_TRUE(output_.ticks_in_order());
}

}  // namespace
}  // namespace vmm
