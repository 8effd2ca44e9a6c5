#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "migration/net/connection.hpp"
#include "tests/migration/fault_peer.hpp"
#include "tests/migration/wire_bytes.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace migration::net {

/// A connection, and the process at its other end.
class Connections : public testing::Test {
 protected:
  using Clock = std::chrono::steady_clock;

  static constexpr std::chrono::milliseconds kLittleTime{150};
  static constexpr std::chrono::hours kLongTime{1};

  std::shared_ptr<Connection> connect(std::chrono::milliseconds timeout = kLongTime) {
    return std::make_shared<Connection>(peer_.socket(context_), timeout);
  }

  /// Begins what run() waits for.
  void begin(asio::awaitable<void> work) {
    asio::co_spawn(context_, std::move(work),
                   [this](std::exception_ptr failure) { note(failure); });
  }
  /// What has become of that: the error, or "all is well".
  std::string run() {
    run_until([this] { return !said_.empty(); });
    return std::exchange(said_, {});
  }
  void run_until(const std::function<bool()>& condition) {
    while (!condition() && Clock::now() < end_) {
      context_.run_for(std::chrono::milliseconds(10));
      context_.poll();  // what follows from what has just happened
      context_.restart();
      if (every_turn_ && !condition()) every_turn_();
    }
  }

  static testing::AssertionResult says(const std::string& text, std::string_view part) {
    return (text.find(part) != std::string::npos ? testing::AssertionSuccess()
                                                 : testing::AssertionFailure())
           << "'" << text << "'";
  }
  static wire::Bytes alive() { return wire::frame_of(wire::FrameType::alive, {}); }
  /// A header that announces so many bytes.
  static wire::Bytes header(wire::FrameType type, std::uint32_t payload) {
    wire::Bytes bytes = wire::frame_of(type, {});
    wire::Bytes size;
    vmm::ByteWriter(size).u32(payload);
    std::copy(size.begin(), size.end(), bytes.begin() + 4);
    return bytes;
  }

  asio::io_context context_;
  FaultPeer peer_;
  std::function<void()> every_turn_;

 private:
  void note(std::exception_ptr failure) {
    said_ = "all is well";
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      said_ = error.what();
    }
  }

  const Clock::time_point end_ = Clock::now() + std::chrono::seconds(10);
  std::string said_;
};

}  // namespace migration::net
