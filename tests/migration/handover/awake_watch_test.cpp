#include "migration/handover/awake_watch.hpp"

#include <gtest/gtest.h>

namespace migration::handover {
namespace {

using namespace std::chrono_literals;

TEST(AwakeWatch, FindsNoGapInAProcessThatLooksAgainAndAgain) {
  AwakeWatch watch(10s, 100s);
  for (auto now = 101s; now < 200s; now += 10s) EXPECT_FALSE(watch.gap(now));
}

TEST(AwakeWatch, FindsOneThatIsLongerThanTheLimitOnce) {
  AwakeWatch watch(10s, 100s);
  EXPECT_TRUE(watch.gap(111s));
  EXPECT_FALSE(watch.gap(111s));
}

}  // namespace
}  // namespace migration::handover
