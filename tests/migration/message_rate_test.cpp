#include "migration/policy/message_rate.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

using std::chrono::seconds;

TEST(MessageRate, TellsSomeAndCountsTheOthers) {
  MessageRate rate(3, seconds(10));
  const MessageRate::Clock::time_point start{seconds(100)};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rate.tell(start + seconds(i)));
  for (int i = 3; i < 10; ++i) EXPECT_FALSE(rate.tell(start + seconds(i)));
  EXPECT_EQ(rate.untold(), 7U);
  EXPECT_EQ(rate.end(), start + seconds(10));
  EXPECT_EQ(rate.take_untold(), 7U);
  EXPECT_EQ(rate.take_untold(), 0U);
}

TEST(MessageRate, BeginsAnewWhenItsTimeIsOver) {
  MessageRate rate(1, seconds(10));
  const MessageRate::Clock::time_point start{seconds(100)};
  EXPECT_TRUE(rate.tell(start));
  EXPECT_FALSE(rate.tell(start + seconds(9)));
  EXPECT_TRUE(rate.tell(start + seconds(10)));
  EXPECT_FALSE(rate.tell(start + seconds(19)));
  EXPECT_TRUE(rate.tell(start + seconds(1000)));
}

}  // namespace
}  // namespace migration
