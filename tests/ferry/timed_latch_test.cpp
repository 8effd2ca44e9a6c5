#include "ferry/timed_latch.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

namespace ferry {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds kShort{20};
constexpr std::chrono::seconds kLong{60};

class ATimedLatch : public ::testing::Test {
 protected:
  void wait() {
    asio::co_spawn(
        context_,
        [this]() -> asio::awaitable<void> {
          co_await latch_.wait();
          ++went_on_;
        },
        asio::detached);
  }

  asio::io_context context_;
  TimedLatch latch_{context_};
  int went_on_ = 0;
};

TEST_F(ATimedLatch, HoldsNobodyBeforeSomethingIsExpected) {
  wait();
  context_.run_for(kLong);
  EXPECT_EQ(went_on_, 1);
}

TEST_F(ATimedLatch, HoldsAllThatWaitUntilItOpens) {
  latch_.expect();
  wait();
  wait();
  context_.run_for(kShort);
  EXPECT_EQ(went_on_, 0);
  asio::post(context_, [this] { latch_.open(); });
  context_.run_for(kLong);
  EXPECT_EQ(went_on_, 2);
}

TEST_F(ATimedLatch, StaysOpen) {
  latch_.expect_within(kLong);
  latch_.open();
  wait();
  context_.run_for(kLong);
  EXPECT_EQ(went_on_, 1);
}

TEST_F(ATimedLatch, HoldsNobodyForLongerThanItWasTold) {
  latch_.expect_within(kShort);
  wait();
  context_.run_for(kLong);
  EXPECT_EQ(went_on_, 1);
}

}  // namespace
}  // namespace ferry
