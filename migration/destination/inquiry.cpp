#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <utility>

#include "migration/destination/destination.hpp"

/// A source that lost the link comes back with an inquiry, and what it says after the handover.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// How long the source may take to tell what it has still to say once that is settled.
constexpr std::chrono::milliseconds kLastWordPatience{2000};

}  // namespace

asio::awaitable<void> DestinationMigration::Destination::serve_inquiry(ConnectionPtr connection) {
  const Frame frame =
      co_await connection->first_frame(FrameType::inquire, "the peer asked nothing");
  const auto inquiry = wire::decode<wire::Inquire>(frame.payload);
  connection->keep_alive();
  if (inquiry.token != offer_.token || !allows(Event::inquire)) {
    const wire::Status unknown{incarnation_, wire::VmStatus::unknown};
    connection->send(FrameType::status, wire::encode(unknown));
    co_await connection->drained();
    co_return;
  }
  // What the source sent before is not going to be complete, and a Commit that waits there is not
  // its word any more: it may have been forced to run the VM.
  co_await serve_link(connection, answer_inquiry(connection));
}

asio::awaitable<void> DestinationMigration::Destination::answer_inquiry(ConnectionPtr connection) {
  happened(Event::inquire, {"the source came back with a new connection"});
  if (fetching()) take_up_link(connection);
  const Stage now = stage();
  // Pages go by new connections, once the VM runs here.
  if (now == Stage::lacking) drop_page_connections();
  if (now == Stage::prepared || now == Stage::lacking) await_word();
  co_await listen_to_source(connection);
}

asio::awaitable<void> DestinationMigration::Destination::listen_to_source(
    ConnectionPtr connection) {
  while (link_.is(connection) && awaits_words()) {
    Frame frame;
    if (stage() == Stage::settled) {
      // Who has the VM is settled. What is to come is of use to people alone, or to a source that
      // tells it again by itself.
      frame = co_await connection->answer(
          std::min<std::chrono::milliseconds>(options_.timeout, kLastWordPatience));
    } else {
      frame = co_await connection->receive();
    }
    if (slept()) break;
    on_frame(frame);
    co_await connection->drained();  // an answer: who does not read it, is not read
  }
  if (link_.is(connection) && stage() == Stage::settled && has_image_keeper()) {
    co_await listen_to_image_keeper(connection);
  }
  co_await connection->drained();
}

/// The keeper says what it has dropped, and its end is to be noticed.
asio::awaitable<void> DestinationMigration::Destination::listen_to_image_keeper(
    ConnectionPtr connection) {
  image_keeper_.connect(connection);
  while (link_.is(connection)) on_frame(co_await connection->receive());
}

bool DestinationMigration::Destination::awaits_words() const {
  const Stage now = stage();
  if (now != Stage::settled) return now != Stage::over;
  if (has_image_keeper()) return false;
  // One that comes back has not heard the answer that it had been given before.
  if (!link_.acknowledged()) return true;
  return !board_.has_report() && offer_.features.has(wire::Feature::report);
}

bool DestinationMigration::Destination::has_image_keeper() const {
  return offer_.keep && options_.tracking && (fetching() || is_whole());
}

void DestinationMigration::Destination::on_word(const Frame& frame, Event event) {
  if (!allows(event)) {
    throw wire::ProtocolError(fmt::format("the source sent a frame of type {} out of turn",
                                          static_cast<unsigned>(frame.type)));
  }
  if (event != Event::abort) return happened(event);
  happened(event, {fmt::format("the source kept the VM: {}",
                               wire::decode<wire::Reason>(frame.payload).reason)});
}

}  // namespace migration
