#include "migration/postcopy/fault_watch.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

using namespace std::chrono_literals;

const FaultWatch::Clock::time_point kStart{1h};

TEST(FaultWatch, KnowsOfNoneAtFirst) {
  const FaultWatch watch;
  EXPECT_FALSE(watch.many());
  EXPECT_EQ(watch.busy_processor(), -1);
}

TEST(FaultWatch, TellsOfManyForAMoment) {
  FaultWatch watch;
  watch.look(kStart, 3);
  EXPECT_EQ(watch.busy_processor(kStart), -1);  // the first ones were served whenever
  watch.look(kStart + 5ms, 3);
  EXPECT_TRUE(watch.many(kStart + 5ms));
  EXPECT_EQ(watch.busy_processor(kStart + 24ms), 3);
  EXPECT_EQ(watch.busy_processor(kStart + 25ms), -1);
  EXPECT_FALSE(watch.many(kStart + 25ms));
}

TEST(FaultWatch, FewAreNotMany) {
  FaultWatch watch;
  for (int i = 0; i < 10; ++i) {
    const auto now = kStart + i * FaultWatch::kMoment;
    watch.look(now, 3);
    EXPECT_EQ(watch.busy_processor(now), -1) << i;
  }
}

TEST(FaultWatch, FollowsToWhereTheyAreServedTwice) {
  FaultWatch watch;
  watch.look(kStart, 3);
  watch.look(kStart + 1ms, 3);
  watch.look(kStart + 2ms, 0);
  EXPECT_EQ(watch.busy_processor(kStart + 2ms), 3);
  watch.look(kStart + 3ms, 0);
  EXPECT_EQ(watch.busy_processor(kStart + 3ms), 0);
}

TEST(FaultWatch, LeavesNoProcessorToAThreadThatIsMovedToAndFro) {
  FaultWatch watch;
  for (int i = 0; i < 10; ++i) {
    const auto now = kStart + i * 1ms;
    watch.look(now, i % 2);
    EXPECT_EQ(watch.busy_processor(now), -1) << i;
  }
  EXPECT_TRUE(watch.many(kStart + 9ms));
}

}  // namespace
}  // namespace migration
