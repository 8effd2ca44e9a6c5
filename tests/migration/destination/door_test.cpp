#include "migration/destination/door.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "migration/wire/encode.hpp"

namespace migration::destination {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxStrangers = 64;

class DoorTest : public ::testing::Test {
 protected:
  DoorTest() {
    door_.open();
    run_until([this] { return listening_ == 1; });
  }

  void run_until(const std::function<bool()>& condition) {
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (!condition() && Clock::now() < end) context_.run_one_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
  }
  /// Somebody who has come in, and says nothing yet.
  asio::local::stream_protocol::socket& connect() {
    auto& caller =
        *callers_.emplace_back(std::make_unique<asio::local::stream_protocol::socket>(outside_));
    caller.connect(asio::local::stream_protocol::endpoint(address_.path));
    return caller;
  }
  void connect_and_say(wire::Role role) {
    asio::write(connect(), asio::buffer(wire::encode_preamble(role)));
  }
  [[nodiscard]] std::size_t told(const std::string& part) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        messages_, [&](const auto& text) { return text.find(part) != std::string::npos; }));
  }

  asio::awaitable<void> serve(Door::ConnectionPtr connection, wire::Role role) {
    roles_.push_back(role);
    if (role == wire::Role::pages) throw std::runtime_error("no pages are expected");
    door_.let_in(connection);
    try {
      static_cast<void>(co_await connection->receive());
    } catch (const std::exception&) {
      ++lost_;
    }
  }

  asio::io_context outside_;
  asio::io_context context_;
  const Address address_ =
      parse_address("unix:" + testing::TempDir() + "ferry-door-" + std::to_string(::getpid()));
  int listening_ = 0;
  int lost_ = 0;
  std::vector<wire::Role> roles_;
  std::vector<std::string> messages_;
  std::vector<std::unique_ptr<asio::local::stream_protocol::socket>> callers_;
  Door door_{context_,
             address_,
             std::chrono::hours(1),
             {.listening = [this](const Address&) { ++listening_; },
              .failed = [](const std::system_error& error) { ADD_FAILURE() << error.what(); },
              .stuck = [](const std::string& what) { ADD_FAILURE() << what; },
              .serve = [this](Door::ConnectionPtr connection,
                              wire::Role role) { return serve(std::move(connection), role); },
              .message = [this](const std::string& text) { messages_.push_back(text); }}};
};

TEST_F(DoorTest, ListensAtOnceWhereNoNameIsToBeLookedUp) {
  EXPECT_TRUE(door_.listens());
  EXPECT_THROW(Door(context_, address_, std::chrono::seconds(1), {}), std::system_error);
  const Door later(context_, parse_address("tcp:some.name:0"), std::chrono::seconds(1), {});
  EXPECT_FALSE(later.listens());
}

TEST_F(DoorTest, HandsOnWhoHasSaidItsRole) {
  connect_and_say(wire::Role::control);
  run_until([this] { return !roles_.empty(); });
  EXPECT_EQ(roles_.at(0), wire::Role::control);
  EXPECT_TRUE(messages_.empty());
}

TEST_F(DoorTest, TellsWhyAStrangerIsDropped) {
  connect_and_say(wire::Role::pages);
  run_until([this] { return told("dropped a connection: no pages are expected") == 1; });
}

TEST_F(DoorTest, LetsTheOldestStrangerGoWhereThereAreTooMany) {
  connect_and_say(wire::Role::control);  // belongs to the VM
  run_until([this] { return !roles_.empty(); });
  for (std::size_t i = 0; i < kMaxStrangers; ++i) connect();
  connect_and_say(wire::Role::inquiry);
  run_until([this] { return told("too many") == 1 && roles_.size() == 2; });
  EXPECT_EQ(lost_, 0);
}

TEST_F(DoorTest, CountsMessagesThatWouldBeTooMany) {
  constexpr std::size_t kMost = 5;
  for (std::size_t i = 0; i < 2 * kMost; ++i) connect_and_say(wire::Role::pages);
  run_until([this] { return roles_.size() == 2 * kMost; });
  EXPECT_EQ(messages_.size(), kMost);
}

}  // namespace
}  // namespace migration::destination
