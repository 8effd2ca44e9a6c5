#include "ferry/process_end.hpp"

#include <gtest/gtest.h>

#include "ferry/signals.hpp"

namespace ferry {
namespace {

constexpr ProcessEnd::TimePoint kFirstWish{std::chrono::hours(1)};

TEST(TheEndOfAProcess, IsWishedOnceByTwoSignalsThatComeTogether) {
  ProcessEnd end;
  EXPECT_TRUE(end.wished(kFirstWish));
  EXPECT_FALSE(end.wished(kFirstWish + kSameWish - std::chrono::milliseconds(1)));
  EXPECT_TRUE(end.wished(kFirstWish + kSameWish));
}

TEST(TheEndOfAProcess, IsWishedRightAfterTheHostHasStarted) {
  ProcessEnd end;
  EXPECT_TRUE(end.wished(ProcessEnd::TimePoint{}));
}

TEST(TheEndOfAProcess, HasTheStatusOfTheFirstReason) {
  ProcessEnd end;
  EXPECT_FALSE(end.begun());
  EXPECT_TRUE(end.begin(3));
  EXPECT_TRUE(end.begun());
  EXPECT_FALSE(end.begin(0));
  EXPECT_EQ(end.status(), 3);
}

TEST(TheEndOfAProcess, MayWaitForAMigrationUntilThatIsTakenBack) {
  ProcessEnd end;
  end.begin_after_migration(130);
  EXPECT_EQ(end.after_migration(), 130);
  EXPECT_FALSE(end.begun());
  end.take_back();
  EXPECT_FALSE(end.after_migration());
}

}  // namespace
}  // namespace ferry
