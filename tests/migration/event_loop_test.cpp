#include "migration/net/event_loop.hpp"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace migration::net {
namespace {

namespace asio = boost::asio;

asio::awaitable<void> fail_after_a_turn(std::string why) {
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  throw std::runtime_error(why);
}

class EventLoop : public testing::Test {
 protected:
  void run_all() {
    run(loop_, [this](const std::exception_ptr& failure) { escaped_.push_back(what(failure)); });
  }
  asio::io_context loop_{1};
  std::vector<std::string> escaped_;
};

TEST_F(EventLoop, HandsOnWhatEscapesFromACoroutineAndGoesOn) {
  bool went_on = false;
  spawn(loop_.get_executor(), fail_after_a_turn("first"));
  spawn(loop_.get_executor(), fail_after_a_turn("second"));
  asio::post(loop_,
             [&] { asio::post(loop_, [&] { asio::post(loop_, [&] { went_on = true; }); }); });
  run_all();
  EXPECT_EQ(escaped_, (std::vector<std::string>{"first", "second"}));
  EXPECT_TRUE(went_on);
}

TEST_F(EventLoop, HandsOnWhatEscapesFromAHandler) {
  asio::post(loop_, [] { throw std::runtime_error("a handler's"); });
  asio::post(loop_, [] { throw 7; });
  run_all();
  EXPECT_EQ(escaped_, (std::vector<std::string>{"a handler's", "an error of an unknown kind"}));
}

TEST_F(EventLoop, EndsWhenItIsStoppedByWhoHearsOfIt) {
  spawn(loop_.get_executor(), fail_after_a_turn("the last"));
  const auto guard = asio::make_work_guard(loop_);
  run(loop_, [this](const std::exception_ptr&) { loop_.stop(); });
  EXPECT_TRUE(loop_.stopped());
}

}  // namespace
}  // namespace migration::net
