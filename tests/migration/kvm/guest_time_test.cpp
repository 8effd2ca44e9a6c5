#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tests/migration/kvm/handover_fixture.hpp"
#include "vmm/kvm/kvm_api.hpp"
#include "vmm/os/boot_clock.hpp"

namespace migration {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using vmm::BootClock;

/// The guest's clock and this host's, read one after the other.
struct Times {
  nanoseconds guest;
  BootClock::time_point host;
};

class GuestTime : public HandoverTest {
 protected:
  static Times times_of(vmm::Machine& paused) {
    const vmm::MachineState state = paused.save();
    kvm_clock_data clock{};
    std::memcpy(&clock, state.find("vm/clock")->data.data(), sizeof(clock));
    return {nanoseconds(clock.clock), state.as_of};
  }

  /// What the guest's clock has lost of the time that has passed, or gained (negative).
  static nanoseconds lost(const Times& before, const Times& after) {
    return after.host - before.host - (after.guest - before.guest);
  }
};

// Sending the stopped guest takes more than a second.
constexpr std::uint64_t kSlowly = 5'000'000;
constexpr double kLeastStop = 800;  // ms
/// For a word to go from one process to the other, on a busy machine.
constexpr nanoseconds kMostLost = 300ms;
constexpr nanoseconds kMostGained = 10ms;

TEST_F(GuestTime, GoesOnByTheTimeThatTheGuestWasStopped) {
  auto machine = run_guest();
  machine->pause();
  const Times before = times_of(*machine);
  machine->resume();
  migrate(std::move(machine), {.to = receive(unix_socket()),
                               .mode = Mode::stop_and_copy,
                               .max_bandwidth = kSlowly,
                               .compression = Compression::none,
                               .verify = true});
  const auto result = wait_ended();
  ASSERT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  EXPECT_GT(result.report.downtime_ms, kLeastStop);
  const auto arrived = wait_arrived();
  ASSERT_TRUE(arrived);
  arrived->pause();
  const nanoseconds missing = lost(before, times_of(*arrived));
  EXPECT_LT(missing, kMostLost);
  EXPECT_GT(missing, -kMostGained);
}

// It does so at the source, as that of any paused guest.
TEST_F(GuestTime, GoesOnWhereTheGuestArrivesPaused) {
  auto machine = run_guest();
  machine->pause();
  const Times before = times_of(*machine);
  migrate(
      std::move(machine),
      {.to = receive(unix_socket()), .max_bandwidth = kSlowly, .compression = Compression::none});
  const auto result = wait_ended();
  ASSERT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  const auto arrived = wait_arrived();
  ASSERT_TRUE(arrived);
  const nanoseconds missing = lost(before, times_of(*arrived));
  EXPECT_LT(missing, kMostLost);
  EXPECT_GT(missing, -kMostGained);
}

}  // namespace
}  // namespace migration
