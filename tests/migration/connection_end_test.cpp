// What a connection sends, and how it ends.
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/migration/connection_fixture.hpp"

namespace migration::net {
namespace {

using wire::FrameType;

class Sending : public Connections {
 protected:
  static asio::awaitable<void> drained(std::shared_ptr<Connection> connection) {
    co_await connection->drained();
  }
  static asio::awaitable<void> received(std::shared_ptr<Connection> connection) {
    static_cast<void>(co_await connection->receive());
  }
  /// More than the kernel takes for a peer that reads nothing.
  static std::vector<std::byte> much() { return std::vector<std::byte>(wire::kMaxStateBytes); }
};

TEST_F(Sending, KeepsFramesInTheirOrderAndTellsOfTheirBytes) {
  const auto connection = connect();
  std::size_t told = 0;
  connection->account([&told](std::size_t bytes) { told += bytes; });
  const auto round = wire::encode_round(7);
  connection->send(FrameType::round_end, round);
  connection->send(FrameType::commit);
  EXPECT_TRUE(connection->busy());
  begin(drained(connection));
  EXPECT_EQ(run(), "all is well");
  EXPECT_FALSE(connection->busy());
  EXPECT_EQ(peer_.receive(FrameType::round_end), round);
  EXPECT_EQ(peer_.receive(FrameType::commit), wire::Bytes());
  EXPECT_EQ(told, 2 * wire::kHeaderBytes + round.size());
  EXPECT_EQ(connection->bytes_sent(), told);
}

TEST_F(Sending, ShowsSignsOfLifeSeveralTimesInATimeoutUntilItIsClosed) {
  const auto connection = connect(4 * kLittleTime);
  const auto started = Clock::now();
  connection->keep_alive();
  run_until([&] { return connection->bytes_sent() == 2 * wire::kHeaderBytes; });
  EXPECT_GE(Clock::now() - started, 2 * kLittleTime);
  connection->close();
  run_until([until = Clock::now() + 2 * kLittleTime] { return Clock::now() > until; });
  EXPECT_EQ(peer_.receive(FrameType::alive), wire::Bytes());
  EXPECT_EQ(peer_.receive(FrameType::alive), wire::Bytes());
  EXPECT_TRUE(peer_.ended());
}

// The peer's timeout may be a second.
TEST_F(Sending, ShowsSignsOfLifeOftenHoweverLongItsOwnTimeoutIs) {
  const auto connection = connect(std::chrono::hours(1));
  const auto started = Clock::now();
  connection->keep_alive();
  run_until([&] { return connection->bytes_sent() == 3 * wire::kHeaderBytes; });
  EXPECT_LT(Clock::now() - started, std::chrono::seconds(2));
  connection->close();
}

TEST_F(Sending, LosesAPeerThatTakesNothingForTheTimeout) {
  const auto connection = connect(kLittleTime);
  connection->send(FrameType::state, much());
  begin(drained(connection));
  EXPECT_TRUE(says(run(), "takes nothing"));
}

TEST_F(Sending, ShowsAFailureToWhoReceives) {
  const auto connection = connect();
  begin(received(connection));
  connection->send(FrameType::state, much());
  peer_.stop_reading();
  EXPECT_TRUE(says(run(), "writing to the peer"));
}

TEST_F(Sending, IsOverOnceItIsClosed) {
  const auto connection = connect();
  connection->close();
  connection->send(FrameType::commit);
  EXPECT_FALSE(connection->busy());
  EXPECT_TRUE(peer_.ended());
}

TEST_F(Sending, EndsAPendingReceiveWithTheReasonOfTheClose) {
  const auto connection = connect();
  begin(received(connection));
  context_.poll();
  connection->close(std::make_exception_ptr(std::runtime_error("cancelled by the operator")));
  connection->close(std::make_exception_ptr(std::runtime_error("too late")));
  EXPECT_EQ(run(), "cancelled by the operator");
}

TEST_F(Sending, EndsAPendingReceiveAsAbortedWhereTheCloseHasNoReason) {
  const auto connection = connect();
  begin(received(connection));
  context_.poll();
  connection->close();
  EXPECT_TRUE(says(run(), "reading from the peer"));
}

TEST_F(Sending, DoesNotWaitInTheEndForAPeerThatTakesNothing) {
  const auto connection = connect();
  connection->send(FrameType::state, much());
  EXPECT_TRUE(connection->busy());
  connection->close_when_drained(nullptr, kLittleTime);
  begin(drained(connection));
  EXPECT_TRUE(says(run(), "takes nothing"));
}

TEST_F(Sending, SaysTheLastWordWholeHoweverOftenTheEndIsAskedFor) {
  const auto connection = connect();
  connection->send(FrameType::state, much());
  connection->close_when_drained(std::make_exception_ptr(std::runtime_error("first")), kLongTime);
  connection->close_when_drained(nullptr, kLongTime);
  std::size_t got = 0;
  std::thread reader(
      [&] { got = peer_.receive(wire::kHeaderBytes + wire::kMaxStateBytes).size(); });
  begin(drained(connection));
  EXPECT_EQ(run(), "all is well");
  reader.join();
  EXPECT_EQ(got, wire::kHeaderBytes + wire::kMaxStateBytes);
}

TEST_F(Sending, ClosesAtOnceWhereNothingIsQueued) {
  const auto connection = connect();
  connection->close_when_drained(nullptr, kLongTime);
  EXPECT_TRUE(peer_.ended());
}

TEST_F(Sending, GivesItsSocketAway) {
  const auto connection = connect();
  Socket socket = connection->release();
  const wire::Bytes bytes = alive();
  asio::write(socket, asio::buffer(bytes));
  EXPECT_EQ(peer_.receive(FrameType::alive), wire::Bytes());
}

/// Of which the kernel has more, when it ends, than its peer has taken.
class OverTcp : public Sending {
 protected:
  OverTcp() {
    asio::ip::tcp::acceptor acceptor(context_, {asio::ip::address_v4::loopback(), 0});
    far_.open(asio::ip::tcp::v4());
    far_.set_option(asio::socket_base::receive_buffer_size(4096));
    far_.connect(acceptor.local_endpoint());
    asio::ip::tcp::socket near = acceptor.accept();
    near.set_option(asio::socket_base::send_buffer_size(4 * kPayload));
    connection_ = std::make_shared<Connection>(Socket(std::move(near)), kLongTime);
  }
  /// How many bytes come.
  std::size_t sent_and_closed() {
    connection_->send(FrameType::state, std::vector<std::byte>(kPayload));
    begin(drained(connection_));
    EXPECT_EQ(run(), "all is well");
    connection_->close();
    std::vector<std::byte> bytes(2 * kPayload);
    boost::system::error_code error;
    return asio::read(far_, asio::buffer(bytes), error);
  }

  static constexpr std::size_t kPayload = 64 << 10;

  asio::ip::tcp::socket far_{context_};
  std::shared_ptr<Connection> connection_;
};

TEST_F(OverTcp, DeliversWhatIsUnderWay) {
  connection_->reset_on_close();
  connection_->deliver_on_close();
  EXPECT_EQ(sent_and_closed(), wire::kHeaderBytes + kPayload);
}

TEST_F(OverTcp, DiscardsWhatIsUnderWayIfItIsToldTo) {
  connection_->reset_on_close();
  EXPECT_LT(sent_and_closed(), wire::kHeaderBytes + kPayload);
}

}  // namespace
}  // namespace migration::net
