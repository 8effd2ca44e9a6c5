#include "migration/forecast/link_probe.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "migration/base/elapsed.hpp"
#include "migration/forecast/probe_tally.hpp"
#include "migration/net/connection.hpp"
#include "migration/wire/messages.hpp"

namespace migration::forecast {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

using Clock = std::chrono::steady_clock;

/// Empty frames that tell the round trip: so many, or fewer if they take long.
constexpr unsigned kPings = 4;
constexpr double kPingSeconds = 0.25;

std::chrono::milliseconds until(Clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
  return std::max(left, std::chrono::milliseconds{1});
}

/// A connection that goes with its owner, at `end` at the latest, and with all that it has not
/// sent.
class Dialled {
 public:
  Dialled(net::Socket socket, Clock::time_point end)
      : deadline_(socket.get_executor(), end),
        connection_(std::make_shared<net::Connection>(std::move(socket), until(end))) {
    connection_->reset_on_close();
    deadline_.async_wait([weak = std::weak_ptr(connection_)](boost::system::error_code cancelled) {
      const auto connection = weak.lock();
      if (cancelled || !connection) return;
      connection->close(std::make_exception_ptr(std::system_error(
          ETIMEDOUT, std::generic_category(), "the peer did not answer in time")));
    });
  }
  ~Dialled() { connection_->close(); }
  Dialled(const Dialled&) = delete;
  Dialled& operator=(const Dialled&) = delete;

  net::Connection* operator->() const { return connection_.get(); }

 private:
  asio::steady_timer deadline_;
  std::shared_ptr<net::Connection> connection_;
};

asio::awaitable<void> await_probed(const Dialled& connection, Clock::time_point end) {
  const Frame answer = co_await connection->answer(until(end));
  if (answer.type == FrameType::probed) co_return;
  if (answer.type != FrameType::refused) throw wire::ProtocolError("no answer to a probe");
  throw std::runtime_error(wire::decode<wire::Reason>(answer.payload).reason);
}

/// Seconds.
asio::awaitable<double> round_trip(const Dialled& connection, Clock::time_point end) {
  const auto start = Clock::now();
  double least = std::numeric_limits<double>::infinity();
  unsigned pings = 0;
  do {
    const auto sent = Clock::now();
    connection->send(FrameType::probe);
    co_await await_probed(connection, end);
    least = std::min(least, seconds_since(sent));
  } while (++pings < kPings && seconds_since(start) < kPingSeconds);
  co_return least;
}

/// Until it knows enough, or `end`.
asio::awaitable<ProbeTally> send_frames(const Dialled& connection, Clock::time_point end) {
  ProbeTally tally(wire::kMaxProbeBytes);
  const std::vector<std::byte> nothing(wire::kMaxProbeFrame);
  const auto start = Clock::now();
  try {
    for (;;) {
      while (const auto size = tally.next(seconds_since(start))) {
        connection->send(FrameType::probe, std::span(nothing).first(*size));
      }
      if (!tally.under_way()) break;
      co_await await_probed(connection, end);
      tally.landed(seconds_since(start));
    }
  } catch (const std::system_error& error) {
    // Over a slow link the time is up before all have landed.
    if (!tally.tells() && error.code() != std::errc::timed_out) throw;
  }
  if (!tally.tells()) {
    throw std::runtime_error("too little has arrived there in time to tell what it carries");
  }
  co_return tally;
}

}  // namespace

asio::awaitable<LinkEstimate> probe_link(Address to, std::chrono::milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  net::Socket socket = co_await net::dial(std::move(to), timeout);
  const Dialled connection(std::move(socket), end);
  co_await connection->greet(wire::Role::probe);
  // No receiver answers for longer.
  const auto last = std::min(end, Clock::now() + wire::kMaxProbeTime);
  const double there_and_back = co_await round_trip(connection, last);
  const ProbeTally tally = co_await send_frames(connection, last);
  co_return LinkEstimate{.bytes_per_second = tally.bytes_per_second(),
                         .latency_seconds = there_and_back / 2};
}

}  // namespace migration::forecast
