#include "migration/net/connection.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/migration/fault_peer.hpp"
#include "tests/migration/wire_bytes.hpp"

namespace migration::net {
namespace {

using wire::FrameType;
using wire::Role;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLittleTime{150};
constexpr std::chrono::hours kLongTime{1};

/// A connection, and the process at its other end.
class Connections : public testing::Test {
 protected:
  /// What the listening side has to say to what the peer sends.
  std::string welcome(FrameType type) {
    const auto connection = std::make_shared<Connection>(peer_.socket(context_), kLongTime);
    asio::co_spawn(
        context_,
        [connection, type]() -> asio::awaitable<void> {
          static_cast<void>(co_await connection->welcome(kLittleTime));
          static_cast<void>(co_await connection->first_frame(type, "something else"));
        },
        [this](std::exception_ptr failure) { note(failure); });
    run();
    return said_;
  }
  void run() {
    while (said_.empty() && Clock::now() < end_) {
      context_.run_for(std::chrono::milliseconds(10));
      context_.poll();  // what follows from what has just happened
      context_.restart();
      if (every_turn_ && said_.empty()) every_turn_();
    }
  }
  void note(std::exception_ptr failure) {
    said_ = "all is well";
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      said_ = error.what();
    }
  }
  static wire::Bytes alive() { return wire::frame_of(FrameType::alive, {}); }
  static wire::Bytes header(FrameType type, std::uint32_t payload) {
    wire::Bytes bytes = wire::frame_of(type, {});
    wire::Bytes size;
    wire::Writer(size).u32(payload);
    std::copy(size.begin(), size.end(), bytes.begin() + 4);
    return bytes;
  }

  asio::io_context context_;
  FaultPeer peer_;
  const Clock::time_point end_ = Clock::now() + std::chrono::seconds(10);
  std::function<void()> every_turn_;
  std::string said_;
};

TEST_F(Connections, AStrangerThatSaysNothingIsGivenLittleTime) {
  EXPECT_NE(welcome(FrameType::offer).find("did not say in time"), std::string::npos) << said_;
}

TEST_F(Connections, SignsOfLifeAreNoFirstFrame) {
  peer_.send(wire::encode_preamble(Role::control));
  every_turn_ = [this] { peer_.send(alive()); };
  EXPECT_NE(welcome(FrameType::offer).find("did not say in time"), std::string::npos) << said_;
}

TEST_F(Connections, AFirstFrameThatTricklesIsNotAwaited) {
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send(header(FrameType::offer, 1000));
  every_turn_ = [this] { peer_.send(std::array{std::byte{'{'}}); };
  EXPECT_NE(welcome(FrameType::offer).find("did not say in time"), std::string::npos) << said_;
}

TEST_F(Connections, TheFirstFrameIsOfOneTypeAndItsSize) {
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send(alive());
  peer_.send(header(FrameType::state, wire::kMaxStateBytes));
  EXPECT_EQ(welcome(FrameType::offer), "something else");
}

TEST_F(Connections, AnInquiryIsSmall) {
  peer_.send(wire::encode_preamble(Role::inquiry));
  peer_.send(header(FrameType::inquire, wire::kMaxMessageBytes + 1));
  EXPECT_NE(welcome(FrameType::inquire).find("over its limit"), std::string::npos) << said_;
}

TEST_F(Connections, AFirstFrameInTimeIsTaken) {
  peer_.send(wire::encode_preamble(Role::inquiry));
  peer_.send(wire::frame_of(FrameType::inquire, wire::encode_round(1)));
  EXPECT_EQ(welcome(FrameType::inquire), "all is well");
}

TEST_F(Connections, AnAnswerHasADeadlineWhateverSignsOfLifeThereAre) {
  const auto connection = std::make_shared<Connection>(peer_.socket(context_), kLittleTime);
  peer_.send(wire::encode_preamble(Role::control));
  every_turn_ = [this] { peer_.send(alive()); };
  asio::co_spawn(
      context_,
      [connection]() -> asio::awaitable<void> {
        co_await connection->greet(Role::control);
        static_cast<void>(co_await connection->answer(kLittleTime));
      },
      [this](std::exception_ptr failure) { note(failure); });
  run();
  EXPECT_NE(said_.find("did not answer in time"), std::string::npos) << said_;
}

TEST_F(Connections, WhatGoesTheOtherWayIsNotRead) {
  const auto connection = std::make_shared<Connection>(peer_.socket(context_), kLongTime);
  peer_.send(wire::encode_preamble(Role::control));
  peer_.send(header(FrameType::state, wire::kMaxStateBytes));
  asio::co_spawn(
      context_,
      [connection]() -> asio::awaitable<void> {
        co_await connection->greet(Role::control);
        static_cast<void>(co_await connection->receive());
      },
      [this](std::exception_ptr failure) { note(failure); });
  run();
  EXPECT_NE(said_.find("out of turn"), std::string::npos) << said_;
}

TEST_F(Connections, APeerThatTakesNothingIsNotWaitedForInTheEnd) {
  const auto connection = std::make_shared<Connection>(peer_.socket(context_), kLongTime);
  connection->send(FrameType::state, std::vector<std::byte>(wire::kMaxStateBytes));
  EXPECT_TRUE(connection->busy());
  connection->close_when_drained(nullptr, kLittleTime);
  asio::co_spawn(
      context_, [connection]() -> asio::awaitable<void> { co_await connection->drained(); },
      [this](std::exception_ptr failure) { note(failure); });
  run();
  EXPECT_NE(said_.find("takes nothing"), std::string::npos) << said_;
}

TEST_F(Connections, TheLastWordGoesOutWholeHoweverOftenTheEndIsAskedFor) {
  const auto connection = std::make_shared<Connection>(peer_.socket(context_), kLongTime);
  connection->send(FrameType::state, std::vector<std::byte>(wire::kMaxStateBytes));
  connection->close_when_drained(std::make_exception_ptr(std::runtime_error("first")), kLongTime);
  connection->close_when_drained(nullptr, kLongTime);
  std::size_t got = 0;
  std::thread reader(
      [&] { got = peer_.receive(wire::kHeaderBytes + wire::kMaxStateBytes).size(); });
  asio::co_spawn(
      context_, [connection]() -> asio::awaitable<void> { co_await connection->drained(); },
      [this](std::exception_ptr failure) { note(failure); });
  run();
  reader.join();
  EXPECT_EQ(said_, "all is well");
  EXPECT_EQ(got, wire::kHeaderBytes + wire::kMaxStateBytes);
}

}  // namespace
}  // namespace migration::net
