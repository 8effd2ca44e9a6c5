#include "migration/forecast/link_probe.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "migration/net/connection.hpp"
#include "migration/net/listener.hpp"

namespace migration::forecast {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using wire::FrameType;

constexpr milliseconds kLong{10'000};

/// What is made of a link whose other end takes its time.
class ALinkProbe : public testing::Test {
 protected:
  struct Receiver {
    milliseconds at_first{0};       ///< before it answers what has bytes
    double bytes_per_second = 1e9;  ///< that it reads
  };

  void probe(const Receiver& receiver, milliseconds timeout = kLong) {
    asio::co_spawn(context_, serve(receiver), asio::detached);
    asio::co_spawn(context_, probe_link(listener_.address(), timeout),
                   [this](const std::exception_ptr& failure, LinkEstimate estimate) {
                     if (failure) {
                       why_ = what(failure);
                     } else {
                       estimate_ = estimate;
                     }
                     context_.stop();
                   });
    context_.run_for(kLong);
  }

  std::optional<LinkEstimate> estimate_;
  std::string why_;

 private:
  static std::string what(const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      return error.what();
    }
  }

  asio::awaitable<void> serve(Receiver receiver) {
    net::Socket socket = co_await listener_.acceptors().front().async_accept(asio::use_awaitable);
    const auto connection = std::make_shared<net::Connection>(std::move(socket), kLong);
    static_cast<void>(co_await connection->welcome(kLong));
    asio::steady_timer free(context_, milliseconds{0});
    try {
      for (;;) {
        const net::Frame frame = co_await connection->answer(kLong);
        if (!frame.payload.empty()) free.expires_at(free.expiry() + reading(receiver, frame));
        co_await free.async_wait(asio::use_awaitable);
        connection->send(FrameType::probed);
      }
    } catch (const std::system_error&) {
      // Whoever probed has hung up.
    }
  }

  static std::chrono::nanoseconds reading(Receiver& receiver, const net::Frame& frame) {
    const double seconds = static_cast<double>(frame.payload.size()) / receiver.bytes_per_second;
    return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)) +
           std::exchange(receiver.at_first, {});
  }

  asio::io_context context_;
  net::Listener listener_{context_, parse_address("unix:" + testing::TempDir() + "probe-" +
                                                  std::to_string(::getpid()) + ".sock")};
};

TEST_F(ALinkProbe, TellsWhatASlowLinkCarries) {
  constexpr double kRate = 100e3;
  probe({.bytes_per_second = kRate});
  ASSERT_TRUE(estimate_) << why_;
  EXPECT_NEAR(estimate_->bytes_per_second, kRate, 0.3 * kRate);
}

TEST_F(ALinkProbe, WaitsForTheFirstAnswersLongerThanItSends) {
  probe({.at_first = milliseconds{400}});
  ASSERT_TRUE(estimate_) << why_;
  EXPECT_GT(estimate_->bytes_per_second, 0);
}

TEST_F(ALinkProbe, SaysSoWhereTooLittleArrives) {
  probe({.bytes_per_second = 100});
  EXPECT_FALSE(estimate_);
  EXPECT_EQ(why_, "too little has arrived there in time to tell what it carries");
}

TEST_F(ALinkProbe, EndsInTimeWhateverTheOtherSideDoes) {
  const auto start = std::chrono::steady_clock::now();
  probe({.at_first = kLong}, milliseconds{100});
  EXPECT_FALSE(estimate_);
  EXPECT_NE(why_, "");
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds{1500});
}

}  // namespace
}  // namespace migration::forecast
