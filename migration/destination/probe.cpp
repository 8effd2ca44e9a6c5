#include <chrono>
#include <system_error>

#include "migration/destination/destination.hpp"

/// Somebody wants to know what the link carries, before a VM comes or without one.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

/// One at a time, and only while no VM is expected: it takes of the link what it can get.
asio::awaitable<void> DestinationMigration::Destination::serve_probe(ConnectionPtr connection) {
  Frame frame = co_await connection->first_frame(FrameType::probe, "the peer probed nothing");
  if (probed_ || !allows(Event::offer)) {
    const wire::Reason why{probed_ ? "the link is being probed already: try again"
                                   : "this receiver already has a VM"};
    connection->send(FrameType::refused, wire::encode(why));
    co_await connection->drained();
    co_return;
  }
  probed_ = true;
  const auto end = std::chrono::steady_clock::now() + wire::kMaxProbeTime;
  try {
    std::uint64_t bytes = 0;
    while (bytes <= wire::kMaxProbeBytes && std::chrono::steady_clock::now() < end) {
      if (frame.type != FrameType::probe) throw wire::ProtocolError("the peer probed no more");
      bytes += frame.payload.size();
      connection->send(FrameType::probed);
      co_await connection->drained();
      frame = co_await connection->answer(wire::kMaxProbeTime);
    }
  } catch (const std::system_error&) {
    // Whoever probes hangs up when it knows enough.
  } catch (...) {
    probed_ = false;
    throw;
  }
  probed_ = false;
}

}  // namespace migration
