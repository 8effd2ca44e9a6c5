#include "migration/forecast/link_probe.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "migration/base/elapsed.hpp"
#include "migration/net/connection.hpp"
#include "migration/wire/messages.hpp"

namespace migration::forecast {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kProbeTime{250};
/// Frames on their way: enough for 100 MB/s and a round trip of 40 ms.
constexpr std::uint64_t kWindow = 64;
/// A link gathers speed for a while: so many of the frames are not judged, of this one in so many.
constexpr std::uint64_t kWarmUpShare = 3;
constexpr unsigned kPings = 4;
constexpr std::uint64_t kMostFrames = wire::kMaxProbeBytes / wire::kMaxProbeFrame - kPings;

asio::awaitable<void> await_probed(net::Connection& connection, std::chrono::milliseconds timeout) {
  const Frame answer = co_await connection.answer(timeout);
  if (answer.type == FrameType::probed) co_return;
  if (answer.type != FrameType::refused) throw wire::ProtocolError("no answer to a probe");
  throw std::runtime_error(wire::decode<wire::Reason>(answer.payload).reason);
}

}  // namespace

asio::awaitable<LinkEstimate> probe_link(Address to, std::chrono::milliseconds timeout) {
  net::Socket socket = co_await net::dial(std::move(to), timeout);
  net::tune(socket, timeout);
  const auto connection = std::make_shared<net::Connection>(std::move(socket), timeout);
  co_await connection->greet(wire::Role::probe);
  double round_trip = 1e9;
  for (unsigned i = 0; i < kPings; ++i) {
    const auto start = Clock::now();
    connection->send(FrameType::probe);
    co_await await_probed(*connection, timeout);
    round_trip = std::min(round_trip, seconds_since(start));
  }
  const std::vector<std::byte> nothing(wire::kMaxProbeFrame);
  const auto start = Clock::now();
  std::vector<double> landed;  // when each frame was
  for (std::uint64_t sent = 0;;) {
    const bool more = seconds_since(start) < std::chrono::duration<double>(kProbeTime).count();
    while (more && sent < kMostFrames && sent - landed.size() < kWindow) {
      connection->send(FrameType::probe, nothing);
      ++sent;
    }
    if (landed.size() == sent) break;
    co_await await_probed(*connection, timeout);
    landed.push_back(seconds_since(start));
  }
  connection->close();
  const std::size_t first = landed.size() / kWarmUpShare;
  const double seconds = std::max(landed.back() - landed[first], 1e-6);
  const auto frames = static_cast<double>(landed.size() - 1 - first);
  co_return LinkEstimate{.bytes_per_second = std::max(1.0, frames * wire::kMaxProbeFrame / seconds),
                         .latency_seconds = round_trip / 2};
}

}  // namespace migration::forecast
