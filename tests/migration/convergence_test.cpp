#include "migration/policy/convergence.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

constexpr double kMB = 1e6;

/// 1 GB/s, 3 ms fixed, 50 ms allowed, nothing dirty.
ConvergenceInput quiet() {
  return {.rounds = 1,
          .remaining_bytes = 0,
          .state_bytes = 16 * 1024,
          .bytes_per_second = 1000 * kMB,
          .dirty_bytes_per_second = 0,
          .fixed_seconds = 0.003,
          .max_downtime_seconds = 0.050,
          .max_rounds = 30,
          .may_throttle = false,
          .throttle = 0,
          .may_switch = false};
}

TEST(Convergence, StopsWhenTheRestFitsTheDowntime) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 0.5 * kMB;
  const Decision decision = decide(input);
  EXPECT_EQ(decision.step, Step::stop);
  EXPECT_EQ(decision.why, Why::fits);
  EXPECT_NEAR(decision.downtime_seconds, 0.0035, 0.0001);
}

TEST(Convergence, GoesOnWhileTheStopWouldBeTooLong) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 100 * kMB;
  input.dirty_bytes_per_second = 100 * kMB;
  const Decision decision = decide(input);
  EXPECT_EQ(decision.step, Step::next_round);
  EXPECT_EQ(decision.why, Why::downtime_too_long);
}

TEST(Convergence, CountsTheStateAndTheFixedPartOfTheStop) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 0;
  input.max_downtime_seconds = 0.002;
  EXPECT_EQ(decide(input).step, Step::next_round);
  input.fixed_seconds = 0.001;
  EXPECT_EQ(decide(input).step, Step::stop);
  input.state_bytes = 5 * kMB;
  EXPECT_EQ(decide(input).step, Step::next_round);
}

TEST(Convergence, TakesOneCheapRoundMoreWhenItShortensTheStopMuch) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 20 * kMB;
  input.dirty_bytes_per_second = 50 * kMB;
  const Decision decision = decide(input);
  EXPECT_EQ(decision.step, Step::next_round);
  EXPECT_EQ(decision.why, Why::worth_a_round);
}

TEST(Convergence, DoesNotTakeThatRoundWhenItWouldBringLittle) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 20 * kMB;
  input.dirty_bytes_per_second = 900 * kMB;
  EXPECT_EQ(decide(input).why, Why::fits);
}

TEST(Convergence, DoesNotTakeThatRoundWhenItIsLong) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 40 * kMB;
  input.dirty_bytes_per_second = 1 * kMB;
  EXPECT_EQ(decide(input).why, Why::fits);
}

TEST(Convergence, StopsWhenOutOfRoundsWhateverRemains) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 1000 * kMB;
  input.dirty_bytes_per_second = 2000 * kMB;
  input.may_throttle = true;
  input.rounds = input.max_rounds;
  const Decision decision = decide(input);
  EXPECT_EQ(decision.step, Step::stop);
  EXPECT_EQ(decision.why, Why::out_of_rounds);
}

TEST(Convergence, SwitchesToPostCopyWhenOutOfRoundsAndTheStopWouldBeTooLong) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 1000 * kMB;
  input.rounds = input.max_rounds;
  input.may_switch = true;
  const Decision decision = decide(input);
  EXPECT_EQ(decision.step, Step::post_copy);
  EXPECT_EQ(decision.why, Why::never_fits);
}

TEST(Convergence, StopsWhenOutOfRoundsAndTheRestFitsThoughItMaySwitch) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 10 * kMB;
  input.rounds = input.max_rounds;
  input.may_switch = true;
  const Decision decision = decide(input);
  EXPECT_EQ(decision.step, Step::stop);
  EXPECT_EQ(decision.why, Why::out_of_rounds);
}

TEST(Convergence, DoesNotSwitchWhileThereAreRoundsLeft) {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 1000 * kMB;
  input.rounds = input.max_rounds - 1;
  input.may_switch = true;
  EXPECT_EQ(decide(input).step, Step::next_round);
}

ConvergenceInput diverging() {
  ConvergenceInput input = quiet();
  input.remaining_bytes = 500 * kMB;
  input.dirty_bytes_per_second = 950 * kMB;
  return input;
}

TEST(Convergence, NeverThrottlesUnlessAllowed) {
  const Decision decision = decide(diverging());
  EXPECT_EQ(decision.step, Step::next_round);
  EXPECT_EQ(decision.why, Why::diverging);
  EXPECT_EQ(decision.throttle, 0U);
}

TEST(Convergence, ThrottlesADivergingGuestStepByStep) {
  ConvergenceInput input = diverging();
  input.may_throttle = true;
  Decision decision = decide(input);
  EXPECT_EQ(decision.step, Step::throttle);
  EXPECT_EQ(decision.throttle, 20U);
  input.throttle = decision.throttle;
  decision = decide(input);
  EXPECT_EQ(decision.throttle, 35U);
  input.throttle = 90;
  EXPECT_EQ(decide(input).throttle, 95U);
  input.throttle = 95;
  EXPECT_EQ(decide(input).step, Step::next_round);
}

TEST(Convergence, DoesNotThrottleAGuestThatConverges) {
  ConvergenceInput input = diverging();
  input.may_throttle = true;
  input.dirty_bytes_per_second = 300 * kMB;
  EXPECT_EQ(decide(input).step, Step::next_round);
}

}  // namespace
}  // namespace migration
