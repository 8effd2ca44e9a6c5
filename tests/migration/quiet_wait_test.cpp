#include "migration/policy/quiet_wait.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

using namespace std::chrono_literals;
using Verdict = QuietWait::Verdict;

constexpr double kMostSeconds = 0.045;

/// A migration that began at 2 s; a stop first fits after eight seconds more.
class QuietWaitTest : public testing::Test {
 protected:
  bool begins(double rest, double ratio = 1) {
    return wait_.begins(now_, {.seconds = rest, .most_seconds = kMostSeconds, .ratio = ratio});
  }
  /// Of 10 ms, after which `rest` must be sent.
  Verdict window(double written, double rest, QuietWait::Time cost = {}) {
    const auto from = now_;
    now_ += 10ms;
    return wait_.watched({.from = from,
                          .to = now_,
                          .cost = cost,
                          .written_seconds = written,
                          .rest_seconds = rest,
                          .most_seconds = kMostSeconds});
  }
  /// Until the verdict is another than to go on; at most so many. The guest writes all its set.
  Verdict busy_windows(int most) {
    Verdict verdict = Verdict::goes_on;
    for (int i = 0; i < most && verdict == Verdict::goes_on; ++i) verdict = window(0.03, 0.03);
    return verdict;
  }

  QuietWait::Time now_ = 10s;
  QuietWait wait_{2s};
};

TEST_F(QuietWaitTest, IsNotWorthItForAStopThatIsShort) {
  EXPECT_FALSE(begins(0.0005));
  EXPECT_TRUE(begins(0.03));
}

TEST_F(QuietWaitTest, TakesNoTimeFromAMigrationThatTookNone) {
  now_ = 2s + 50ms;
  EXPECT_FALSE(begins(0.03));
}

TEST_F(QuietWaitTest, LooksLessOftenWhereALookTakesLong) {
  EXPECT_EQ(wait_.window(), 10ms);
  ASSERT_TRUE(begins(0.03));
  EXPECT_EQ(window(0.03, 0.03, 2ms), Verdict::goes_on);
  EXPECT_EQ(wait_.window(), 40ms);
  EXPECT_EQ(window(0.03, 0.03, 100ms), Verdict::stop);
}

TEST_F(QuietWaitTest, SendsWhatThereIsOnceTheGuestIsQuiet) {
  ASSERT_TRUE(begins(0.03));
  EXPECT_EQ(busy_windows(20), Verdict::goes_on);
  EXPECT_EQ(window(0.0001, 0.03), Verdict::round);
  EXPECT_FALSE(begins(0.0005));
}

TEST_F(QuietWaitTest, SendsAtOnceWhereTheGuestIsQuietAlready) {
  ASSERT_TRUE(begins(0.03));
  EXPECT_EQ(window(0, 0.03), Verdict::round);
}

/// The density says that it does better in one window of ten.
TEST_F(QuietWaitTest, IsNotContentWithLessThanTheGuestIsKnownToDo) {
  ASSERT_TRUE(begins(0.03));
  EXPECT_EQ(window(0.00001, 0.03), Verdict::round);
  now_ += 30ms;
  ASSERT_TRUE(begins(0.03));
  EXPECT_EQ(window(0.004, 0.03), Verdict::goes_on);
  EXPECT_EQ(window(0.00001, 0.03), Verdict::round);
}

TEST_F(QuietWaitTest, WaitsForAnEighthOfTheTimeWhereAllWindowsAreAlike) {
  ASSERT_TRUE(begins(0.03));
  EXPECT_EQ(busy_windows(1000), Verdict::stop);
  EXPECT_NEAR(std::chrono::duration<double>(now_ - 10s).count(), 1, 0.02);
}

TEST_F(QuietWaitTest, WaitsForAQuarterOfTheTimeForAGuestThatWritesByBursts) {
  ASSERT_TRUE(begins(0.03));
  ASSERT_EQ(busy_windows(8), Verdict::goes_on);
  // Quiet, but for a moment: the round finds it busy again.
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(window(0.0001, 0.03), Verdict::round);
    ASSERT_TRUE(begins(0.03));
  }
  EXPECT_EQ(busy_windows(1000), Verdict::stop);
  EXPECT_NEAR(std::chrono::duration<double>(now_ - 10s).count(), 2, 0.02);
  EXPECT_FALSE(begins(0.03));
}

TEST_F(QuietWaitTest, SendsWhatGrowsWhereThatMakesHeadway) {
  ASSERT_TRUE(begins(0.02, 0.6));
  EXPECT_EQ(window(0.006, 0.024), Verdict::goes_on);
  EXPECT_EQ(window(0.006, 0.028), Verdict::round);
}

TEST_F(QuietWaitTest, StopsWhileTheRestStillFits) {
  ASSERT_TRUE(begins(0.01, 0.5));
  EXPECT_EQ(window(0.015, 0.025), Verdict::stop);
}

TEST_F(QuietWaitTest, WaitsOnWhereTheGuestWritesMostlyWhatMustBeSentAnyway) {
  ASSERT_TRUE(begins(0.017));
  EXPECT_EQ(window(0.025, 0.027), Verdict::goes_on);
}

TEST_F(QuietWaitTest, DoesNotStopWhereTheRestFitsNoMore) {
  ASSERT_TRUE(begins(0.03, 1));
  EXPECT_EQ(window(0.03, 0.06), Verdict::round);
}

TEST_F(QuietWaitTest, TakesAShorterWindowWhereTheRestMightNotFitAfterAWholeOne) {
  EXPECT_TRUE(begins(0.03, 1.2));
  EXPECT_EQ(wait_.window(), 10ms);
  EXPECT_TRUE(begins(0.03, 3));
  EXPECT_EQ(std::chrono::round<std::chrono::microseconds>(wait_.window()), 5ms);
  EXPECT_FALSE(begins(0.03, 10));
}

}  // namespace
}  // namespace migration
