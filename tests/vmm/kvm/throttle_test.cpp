#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/vmm/kvm/guest_fixture.hpp"

namespace vmm {
namespace {

using Clock = std::chrono::steady_clock;

/// As much as it can, so that what it does is a measure of how long it ran.
constexpr const char* kBusy = "tick=2 fill=4 dirty=100000000";

/// What the thread of vCPU 0 did so far, in seconds (the kernel's Documentation/scheduler/
/// sched-stats.rst; every kernel with KVM has it).
struct Schedule {
  double ran = 0;
  double waited = 0;  ///< for a CPU, wanting to run
};

Schedule schedule_of_vcpu() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    if (name != "vcpu0") continue;
    Schedule schedule;
    std::ifstream(task.path() / "schedstat") >> schedule.ran >> schedule.waited;
    return {schedule.ran * 1e-9, schedule.waited * 1e-9};
  }
  ADD_FAILURE() << "no thread of vCPU 0";
  return {};
}

class Throttle : public GuestTest {
 protected:
  /// The same as shares of the time until the guest has printed two lines of ticks.
  Schedule shares() {
    const auto start = Clock::now();
    const Schedule before = schedule_of_vcpu();
    EXPECT_TRUE(output_.wait_for_tick_lines(2));
    const Schedule after = schedule_of_vcpu();
    const double passed = std::chrono::duration<double>(Clock::now() - start).count();
    return {(after.ran - before.ran) / passed, (after.waited - before.waited) / passed};
  }
};

// Other work on this machine may keep the vCPU from running, so what the guest gets done says
// little: it never makes a throttled vCPU run more, nor a free one want less.
TEST_F(Throttle, SlowsTheGuestAndLetsItGoOn) {
  const auto machine = make_guest(kBusy);
  machine->resume();
  ASSERT_TRUE(output_.wait_for("abc"));
  const Schedule before = shares();
  EXPECT_GT(before.ran + before.waited, 0.7);

  machine->throttle(80);
  EXPECT_LT(shares().ran, 0.35);
  const auto writes = output_.values("writes");
  ASSERT_GE(writes.size(), 2U);
  EXPECT_GT(writes.back(), writes[writes.size() - 2]);  // slowed, and not stopped

  machine->throttle(0);
  const Schedule after = shares();
  EXPECT_GT(after.ran + after.waited, 0.7);
  machine->pause();
  EXPECT_TRUE(output_.ticks_in_order());
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
