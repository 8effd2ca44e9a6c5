#include "migration/policy/time_left.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

using namespace std::chrono_literals;

/// 100 MB/s, 50 ms allowed, a stop costs 3 ms beside what is sent.
ConvergenceInput writes(double bytes_per_second) {
  return {.rounds = 1,
          .bytes_per_second = 100e6,
          .dirty_bytes_per_second = bytes_per_second,
          .fixed_seconds = 0.003,
          .max_downtime_seconds = 0.05,
          .max_rounds = 30};
}

TEST(TimeLeft, IsUnknownUntilPagesHaveGoneForAWhile) {
  TimeLeft left;
  EXPECT_FALSE(left.seconds());
  left.tell(1s, 10'000, 0, std::nullopt);
  left.tell(1s + 400ms, 10'000, 400, std::nullopt);
  EXPECT_FALSE(left.seconds());
  left.tell(1s + 500ms, 10'000, 500, std::nullopt);
  EXPECT_NEAR(left.seconds().value(), 9.5, 1e-9);
  left.tell(1s + 600ms, 10'000, 1'000, std::nullopt);
  EXPECT_NEAR(left.seconds().value(), 9, 1e-9);
}

TEST(TimeLeft, FollowsTheRateOfLate) {
  TimeLeft left;
  left.tell(0s, 10'000, 0, std::nullopt);
  left.tell(1s, 10'000, 2'000, std::nullopt);
  EXPECT_NEAR(left.seconds().value(), 4, 1e-9);
  left.tell(2s, 10'000, 3'000, std::nullopt);
  EXPECT_NEAR(left.seconds().value(), 7'000 / 1'500.0, 1e-9);
}

TEST(TimeLeft, IsUnknownWhereNothingGoes) {
  TimeLeft left;
  left.tell(0s, 10'000, 0, std::nullopt);
  left.tell(1s, 10'000, 0, std::nullopt);
  EXPECT_FALSE(left.seconds());
  left.tell(2s, 10'000, 1'000, std::nullopt);
  EXPECT_TRUE(left.seconds());
  left.tell_none();
  EXPECT_FALSE(left.seconds());
}

TEST(TimeLeft, DoesNotCountAPauseAsSlow) {
  TimeLeft left;
  left.tell(0s, 10'000, 0, std::nullopt);
  left.tell(1s, 10'000, 1'000, std::nullopt);
  left.tell_none();
  left.tell(100s, 10'000, 1'000, std::nullopt);
  EXPECT_NEAR(left.seconds().value(), 9, 1e-9);
}

TEST(TimeLeft, KeepsTheRateFromRoundToRound) {
  TimeLeft left;
  left.tell(0s, 10'000, 0, std::nullopt);
  left.tell(1s, 10'000, 5'000, std::nullopt);
  left.tell(1s + 100ms, 2'000, 0, std::nullopt);
  EXPECT_NEAR(left.seconds().value(), 0.4, 1e-9);
}

TEST(TimeLeft, IsNeverBelowNothing) {
  TimeLeft left;
  left.tell(0s, 100, 0, std::nullopt);
  left.tell(1s, 100, 200, std::nullopt);
  EXPECT_EQ(left.seconds(), 0);
}

TEST(TimeLeft, CountsTheRoundsThatFollow) {
  TimeLeft left;
  left.tell(0s, 10'000, 0, writes(0));
  left.tell(1s, 10'000, 5'000, writes(0));
  EXPECT_NEAR(left.seconds().value(), 1.003, 1e-9);
  // The round takes 2 s. It leaves 50 MB, half a second, and that a quarter as much.
  left.tell(1s, 10'000, 5'000, writes(25e6));
  EXPECT_NEAR(left.seconds().value(), 1 + 0.5 + 0.125 + 0.03125 + 0.0078125 + 0.003, 0.01);
}

TEST(SecondsAfterRound, EndWithTheRoundsThatThereAre) {
  ConvergenceInput endless = writes(100e6);
  EXPECT_NEAR(seconds_after_round(1, endless), 29.003, 1e-6);
  endless.max_rounds = 1'000'000;
  EXPECT_NEAR(seconds_after_round(1, endless), 100.003, 1e-6);
}

TEST(SecondsAfterRound, AreNoLongerFromRoundToRoundHoweverMuchTheGuestWrites) {
  EXPECT_NEAR(seconds_after_round(1, writes(200e6)), 29.003, 1e-6);
}

TEST(SecondsAfterRound, AreThoseOfTheRestWhereItIsLeftToPostCopy) {
  ConvergenceInput input = writes(100e6);
  input.max_rounds = 3;
  input.may_switch = true;
  EXPECT_NEAR(seconds_after_round(1, input), 2.003, 1e-6);
}

}  // namespace
}  // namespace migration
