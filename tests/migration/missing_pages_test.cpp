#include "migration/postcopy/missing_pages.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace migration {
namespace {

using Ranges = std::vector<vmm::PageRange>;
using Pages = std::vector<vmm::PageIndex>;
using Wait = MissingPages::Wait;

class PagesToCome : public ::testing::Test {
 protected:
  PagesToCome() { missing_.add(Ranges{{10, 10}, {100, 1}}); }

  MissingPages missing_{1000};
};

TEST_F(PagesToCome, AreCountedOnceHoweverOftenTheyAreTold) {
  EXPECT_EQ(missing_.count(), 11U);
  EXPECT_EQ(missing_.add(Ranges{{10, 10}, {30, 2}}), (Ranges{{30, 2}}));
  EXPECT_EQ(missing_.count(), 13U);
  EXPECT_EQ(missing_.count({0, 31}), 11U);
}

TEST_F(PagesToCome, AreExpectedStillWhenTheyAreHere) {
  missing_.mark_installed({10, 10});
  EXPECT_FALSE(missing_.test(10));
  EXPECT_EQ(missing_.snapshot().count(), 1U);
  EXPECT_EQ(missing_.expected().count(), 11U);
  EXPECT_EQ(missing_.count_expected({0, 15}), 5U);
}

TEST_F(PagesToCome, EndOnceWithTheLast) {
  EXPECT_FALSE(missing_.mark_installed({10, 10}).last);
  EXPECT_TRUE(missing_.mark_installed({100, 1}).last);
  EXPECT_EQ(missing_.count(), 0U);
  EXPECT_FALSE(missing_.mark_installed({100, 1}).last);
}

TEST_F(PagesToCome, AreAskedForOnceHoweverManyWait) {
  EXPECT_EQ(missing_.wait_for(12), Wait::first);
  EXPECT_EQ(missing_.wait_for(12), Wait::again);
  EXPECT_EQ(missing_.wait_for(13), Wait::first);
  EXPECT_EQ(missing_.ask_again(), (Pages{12, 13}));
}

TEST_F(PagesToCome, TellWhoWaitsAndForHowLong) {
  missing_.wait_for(12);
  missing_.wait_for(15);
  missing_.wait_for(100);
  EXPECT_TRUE(missing_.asked(12));
  EXPECT_EQ(missing_.mark_installed({10, 4}).awaited, Pages{12});
  EXPECT_FALSE(missing_.asked(12));
  EXPECT_EQ(missing_.latencies().count(), 1U);
  EXPECT_EQ(missing_.forget_waiting(), (Pages{15, 100}));
  EXPECT_TRUE(missing_.mark_installed({14, 6}).awaited.empty());
  EXPECT_EQ(missing_.latencies().count(), 1U);
}

TEST_F(PagesToCome, AreNotWaitedForWhenTheyAreNotMissing) {
  EXPECT_EQ(missing_.wait_for(9), Wait::none);
  missing_.mark_installed({10, 1});
  EXPECT_EQ(missing_.wait_for(10), Wait::none);
  EXPECT_FALSE(missing_.asked(9));
}

TEST_F(PagesToCome, AreWaitedForFromTheLastRequestOn) {
  constexpr std::chrono::milliseconds kTime{20};
  EXPECT_FALSE(missing_.waits_longer_than(std::chrono::milliseconds(0)));
  missing_.wait_for(12);
  EXPECT_FALSE(missing_.waits_longer_than(std::chrono::hours(1)));
  std::this_thread::sleep_for(2 * kTime);
  EXPECT_TRUE(missing_.waits_longer_than(kTime));
  const auto before = missing_.asked(12).value();
  static_cast<void>(missing_.ask_again());
  EXPECT_GE(missing_.asked(12).value() - before, kTime);
}

// Whoever comes to wait while the page is installed is either told that there is nothing to wait
// for, or found by who installs it.
TEST_F(PagesToCome, NobodyWaitsForAPageThatIsHere) {
  for (int i = 0; i < 300; ++i) {
    MissingPages missing(1);
    missing.add(Ranges{{0, 1}});
    Wait wait{};
    std::thread toucher([&] { wait = missing.wait_for(0); });
    const bool found = !missing.mark_installed({0, 1}).awaited.empty();
    toucher.join();
    ASSERT_EQ(found, wait == Wait::first) << i;
    ASSERT_FALSE(missing.asked(0));
  }
}

}  // namespace
}  // namespace migration
