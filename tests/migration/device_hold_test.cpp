#include "migration/source/device_hold.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/migration/hanging_device.hpp"

namespace migration::source {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using Asked = std::vector<std::string>;

class DeviceHoldTest : public testing::Test {
 protected:
  DeviceHoldTest() { hold_.lacks({first_, second_}); }

  std::string take_again(std::chrono::milliseconds limit = 20s) {
    return outcome([&] { return hold_.take_again(limit); });
  }

  bool take_unused(std::chrono::milliseconds limit = 20s) {
    return outcome([&]() -> asio::awaitable<std::string> {
             const bool unused = co_await hold_.take_unused(limit);
             co_return unused ? "unused" : "";
           }) == "unused";
  }

  std::shared_ptr<HangingDevice> first_ = std::make_shared<HangingDevice>("disk0");
  std::shared_ptr<HangingDevice> second_ = std::make_shared<HangingDevice>("disk1");
  DeviceHold hold_;

 private:
  template <typename Call>
  std::string outcome(Call call) {
    std::string said = "nothing";
    asio::co_spawn(context_, call, [&](const std::exception_ptr& failure, std::string trouble) {
      try {
        if (failure) std::rethrow_exception(failure);
        said = std::move(trouble);
      } catch (const std::exception& error) {
        said = error.what();
      }
    });
    context_.restart();
    context_.run_for(20s);
    return said;
  }

  asio::io_context context_;
};

TEST_F(DeviceHoldTest, ThatShowsItselfUnusedIsTaken) {
  second_->last_ran(true);
  EXPECT_TRUE(take_unused());
  EXPECT_TRUE(hold_.complete());
  for (const auto& each : {first_, second_}) EXPECT_EQ(each->asked(), Asked({"acquire"}));
}

/// Nor is its lock taken, even for a moment.
TEST_F(DeviceHoldTest, ThatRanElsewhereIsLeftThere) {
  EXPECT_FALSE(take_unused());
  EXPECT_FALSE(hold_.complete());
  for (const auto& each : {first_, second_}) EXPECT_EQ(each->asked(), Asked());
}

TEST_F(DeviceHoldTest, OfWhichOthersHaveAPartIsLeftToThem) {
  first_->last_ran(true);
  second_->refuse("acquire");
  EXPECT_FALSE(take_unused());
  EXPECT_FALSE(hold_.complete());
  EXPECT_EQ(first_->asked(), Asked({"acquire", "release"}));
  second_->refuse("");
  EXPECT_EQ(take_again(), "");
  EXPECT_TRUE(hold_.complete());
}

TEST_F(DeviceHoldTest, IsNotTakenTwiceAtOnce) {
  first_->last_ran(true);
  first_->hang_at("acquire");
  EXPECT_FALSE(take_unused(10ms));
  EXPECT_NE(take_again(10ms), "");
  EXPECT_EQ(first_->asked(), Asked({"acquire"}));
  first_->let_go();
  EXPECT_EQ(take_again(), "");
  EXPECT_TRUE(hold_.complete());
  for (const auto& each : {first_, second_}) EXPECT_EQ(each->asked(), Asked({"acquire"}));
}

TEST_F(DeviceHoldTest, IsTakenAgain) {
  EXPECT_FALSE(hold_.complete());
  EXPECT_EQ(take_again(), "");
  EXPECT_TRUE(hold_.complete());
  EXPECT_EQ(first_->asked(), Asked({"acquire"}));
  EXPECT_EQ(second_->asked(), Asked({"acquire"}));
}

TEST_F(DeviceHoldTest, IsWaitedForForAllDevicesAtOnce) {
  first_->hang_at("acquire");
  second_->hang_at("acquire");
  EXPECT_EQ(take_again(100ms), "the host does not answer for disk0: see what keeps it there");
  EXPECT_TRUE(second_->wait_asked());
  first_->let_go();
  EXPECT_EQ(take_again(100ms), "the host does not answer for disk1: see what keeps it there");
  second_->let_go();
  EXPECT_EQ(take_again(), "");
  EXPECT_TRUE(hold_.complete());
  EXPECT_EQ(first_->asked(), Asked({"acquire"}));
  EXPECT_EQ(second_->asked(), Asked({"acquire"}));
}

TEST_F(DeviceHoldTest, IsTriedAgainForThoseAloneThatAreLacking) {
  second_->refuse("acquire");
  EXPECT_EQ(take_again(), "disk1 is in use");
  EXPECT_FALSE(hold_.complete());
  second_->refuse("");
  EXPECT_EQ(take_again(), "");
  EXPECT_EQ(first_->asked(), Asked({"acquire"}));
  EXPECT_EQ(second_->asked(), Asked({"acquire", "acquire"}));
}

}  // namespace
}  // namespace migration::source
