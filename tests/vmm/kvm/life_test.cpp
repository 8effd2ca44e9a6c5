#include <gtest/gtest.h>

#include <cstddef>
#include <string>

#include "tests/vmm/kvm/guest_fixture.hpp"

namespace vmm {
namespace {

class Life : public GuestTest {};

TEST_F(Life, RunsTheGuestToItsEnd) {
  const auto machine = make_guest("tick=1 end=ticks:50");
  EXPECT_FALSE(machine->running());
  machine->resume();
  const auto end = wait_end(*machine);
  ASSERT_TRUE(end) << output_.text();
  EXPECT_EQ(end->kind, GuestEnd::Kind::exit_code);
  EXPECT_EQ(end->code, 0);
  EXPECT_TRUE(output_.ticks_in_order());
  EXPECT_EQ(output_.ticks().size(), 50U);
}

TEST_F(Life, PassesOnTheGuestsExitCode) {
  const auto machine = make_guest("no-such-option");
  machine->resume();
  const auto end = wait_end(*machine);
  ASSERT_TRUE(end) << output_.text();
  EXPECT_EQ(end->kind, GuestEnd::Kind::exit_code);
  EXPECT_EQ(end->code, 4);
}

TEST_F(Life, DoesNotRunAgainAfterItsEnd) {
  const auto machine = make_guest("tick=1 end=ticks:5");
  machine->resume();
  ASSERT_TRUE(wait_end(*machine)) << output_.text();
  machine->pause();
  const std::string printed = output_.text();
  machine->resume();
  EXPECT_FALSE(machine->running());
  machine->pause();
  EXPECT_EQ(output_.text(), printed);
}

TEST_F(Life, LosesNoTickOverManyPauses) {
  const auto machine = make_guest("tick=1 timer=100");
  machine->resume();
  ASSERT_TRUE(output_.wait_for("abc"));
  for (int i = 0; i < 200; ++i) {
    machine->pause();
    machine->resume();
    // Stops in a row, and stops amid the guest's work.
    if (i % 4 == 0) {
      ASSERT_TRUE(output_.wait_for_ticks(1));
    }
  }
  ASSERT_TRUE(output_.wait_for_ticks(30));
  machine->pause();
  EXPECT_FALSE(machine->ended());
  EXPECT_TRUE(output_.ticks_in_order());
}

TEST_F(Life, PrintsNothingWhilePaused) {
  const auto machine = make_guest("tick=1", 2);
  machine->resume();
  ASSERT_TRUE(output_.wait_for("abc"));
  machine->pause();
  const std::string printed = output_.text();
  const kvm_regs before = machine->vcpu(0).regs();
  // Another guest's ticks are the clock: this one would have ticked as often.
  GuestOutput other;
  Machine clock(Kvm(), machine->config());
  other.attach(clock);
  copy_memory(*machine, clock);
  clock.load(machine->save());
  clock.resume();
  ASSERT_TRUE(other.wait_for_ticks(20));
  EXPECT_EQ(output_.text(), printed);
  EXPECT_EQ(machine->vcpu(0).regs().rip, before.rip);
}

TEST_F(Life, DestroysARunningMachine) {
  auto machine = make_guest("tick=1 dirty=1000 fill=4", 2);
  machine->resume();
  ASSERT_TRUE(output_.wait_for("# fill done"));
  machine.reset();
  EXPECT_FALSE(output_.text().empty());
}

class LifeWithVcpus : public GuestTest, public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(LifeWithVcpus, BringsAllUp) {
  const auto machine = make_guest("tick=10 fill=2 check", GetParam());
  machine->resume();
  // vCPU 0 says hello instead.
  for (std::uint32_t i = 1; i < GetParam(); ++i) {
    ASSERT_TRUE(output_.wait_for("# vcpu " + std::to_string(i) + " up\n"));
  }
  ASSERT_TRUE(output_.wait_for_ticks(5));
  machine->pause();
  EXPECT_FALSE(machine->ended()) << output_.text();
}

INSTANTIATE_TEST_SUITE_P(Counts, LifeWithVcpus, ::testing::Values(1U, 2U, 4U, kMaxCpus),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace vmm
