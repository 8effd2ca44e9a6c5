#include "migration/net/connection.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>
#include <system_error>
#include <utility>

#include "migration/net/descriptor.hpp"
#include "migration/net/event_loop.hpp"

namespace migration::net {

using boost::system::error_code;
using wire::FrameType;

namespace {

constexpr const char* kSilent = "the peer gave no sign of life";
constexpr const char* kNoWord = "the peer did not say in time what it wants";
constexpr const char* kNoAnswer = "the peer did not answer in time";
/// A peer whose timeout is a second hears four of them, too.
constexpr std::chrono::milliseconds kSlowestHeartbeat{250};
constexpr const char* kDeaf = "the peer takes nothing";
/// So much goes at a time: also over a slow link, each piece gets through within the timeout.
constexpr std::size_t kPiece = 256 << 10;

std::exception_ptr timed_out(const char* why) {
  return std::make_exception_ptr(std::system_error(ETIMEDOUT, std::generic_category(), why));
}

std::exception_ptr not_written(error_code error) {
  return std::make_exception_ptr(
      std::system_error(error.value(), std::system_category(), "writing to the peer"));
}

}  // namespace

Connection::Connection(Socket socket, std::chrono::milliseconds timeout)
    : socket_(std::move(socket)),
      timeout_(timeout),
      deadline_(socket_.get_executor()),
      write_deadline_(socket_.get_executor()),
      heartbeat_(socket_.get_executor()),
      drained_(socket_.get_executor(), asio::steady_timer::time_point::max()),
      last_deadline_(socket_.get_executor()) {}

asio::awaitable<void> Connection::greet(wire::Role role) {
  side_ = wire::Side::source;
  const wire::Bytes preamble = wire::encode_preamble(role);
  error_code error;
  sent_ += co_await asio::async_write(socket_, asio::buffer(preamble),
                                      asio::redirect_error(asio::use_awaitable, error));
  if (error) std::rethrow_exception(not_written(error));
  std::array<std::byte, wire::kPreambleBytes> answer{};
  arm_deadline(deadline_, kSilent, timeout_);
  co_await read(answer);
  static_cast<void>(wire::decode_preamble(answer));
}

asio::awaitable<wire::Role> Connection::welcome(std::chrono::milliseconds patience) {
  std::array<std::byte, wire::kPreambleBytes> preamble{};
  arm_deadline(deadline_, kNoWord, patience);
  co_await read(preamble);
  wire::Preamble peer;
  std::exception_ptr unsound;
  try {
    peer = wire::decode_preamble(preamble);
  } catch (const wire::ProtocolError&) {
    unsound = std::current_exception();
  }
  if (unsound || (peer.role != wire::Role::pages && peer.role != wire::Role::faults)) {
    // Also to a peer of another version, so that it can say what is wrong.
    const wire::Bytes answer = wire::encode_preamble(wire::Role::control);
    error_code ignored;
    co_await asio::async_write(socket_, asio::buffer(answer),
                               asio::redirect_error(asio::use_awaitable, ignored));
    sent_ += answer.size();
  }
  if (unsound) std::rethrow_exception(unsound);
  co_return peer.role;
}

void Connection::arm_deadline(asio::steady_timer& deadline, const char* why,
                              std::chrono::milliseconds limit) {
  deadline.expires_after(limit);
  deadline.async_wait([weak = weak_from_this(), &deadline, why](error_code cancelled) {
    const auto self = weak.lock();
    if (cancelled || !self || deadline.expiry() > asio::steady_timer::clock_type::now()) return;
    self->close(timed_out(why));
  });
}

/// Also one that has gone off and whose handler is about to run: it looks at the time.
void Connection::disarm(asio::steady_timer& deadline) {
  deadline.expires_at(asio::steady_timer::time_point::max());
}

asio::awaitable<void> Connection::read(std::span<std::byte> into) {
  const auto self = shared_from_this();
  error_code error;
  received_ += co_await read_all(into, error);
  // What came before this side closed it, and has its turn only now, is not heard any more.
  if (!error && !closed_) co_return;
  if (why_closed_) std::rethrow_exception(why_closed_);
  if (!error) error = asio::error::operation_aborted;
  if (error == asio::error::eof) {
    throw std::system_error(ECONNRESET, std::generic_category(), "the peer closed the connection");
  }
  throw std::system_error(error.value(), std::system_category(), "reading from the peer");
}

asio::awaitable<std::size_t> Connection::read_all(std::span<std::byte> into, error_code& error) {
  std::size_t done = 0;
  try {
    while (takes_descriptor_ && done < into.size()) {
      const std::size_t got = co_await read_with(socket_, into.subspan(done), descriptor_);
      if (got == 0) error = asio::error::eof;
      if (error) co_return done;
      done += got;
    }
  } catch (const boost::system::system_error& failure) {
    error = failure.code();
    co_return done;
  }
  const auto rest = into.subspan(done);
  co_return done + co_await asio::async_read(socket_, asio::buffer(rest.data(), rest.size()),
                                             asio::redirect_error(asio::use_awaitable, error));
}

asio::awaitable<wire::FrameHeader> Connection::read_header() {
  std::array<std::byte, wire::kHeaderBytes> bytes{};
  co_await read(bytes);
  co_return wire::decode_header(bytes);
}

asio::awaitable<Frame> Connection::first_frame(FrameType type, const char* otherwise) {
  takes_descriptor_ = type == FrameType::offer && carries_descriptors(socket_);
  wire::FrameHeader header;
  do header = co_await read_header();
  while (header.type == FrameType::alive);
  if (header.type != type) throw wire::ProtocolError(otherwise);
  Frame frame{type, std::vector<std::byte>(header.payload)};
  co_await read(frame.payload);
  takes_descriptor_ = false;
  disarm(deadline_);
  co_return frame;
}

asio::awaitable<Frame> Connection::answer(std::chrono::milliseconds limit) {
  arm_deadline(deadline_, kNoAnswer, limit);
  wire::FrameHeader header;
  do header = co_await read_header();
  while (header.type == FrameType::alive);
  co_return co_await read_payload(header);
}

asio::awaitable<Frame> Connection::receive() {
  wire::FrameHeader header;
  do {
    arm_deadline(deadline_, kSilent, timeout_);
    header = co_await read_header();
  } while (header.type == FrameType::alive);
  co_return co_await read_payload(header);
}

asio::awaitable<Frame> Connection::read_payload(wire::FrameHeader header) {
  wire::check_direction(header, side_);
  Frame frame{header.type, std::vector<std::byte>(header.payload)};
  for (std::size_t at = 0; at < frame.payload.size(); at += kPiece) {
    arm_deadline(deadline_, kSilent, timeout_);
    const std::size_t size = std::min(kPiece, frame.payload.size() - at);
    co_await read(std::span(frame.payload).subspan(at, size));
  }
  disarm(deadline_);
  co_return frame;
}

void Connection::send(FrameType type, std::span<const std::byte> payload) {
  if (closed_) return;
  wire::put_frame(queue_, type, payload);
  if (sending_) sending_(wire::kHeaderBytes + payload.size());
  if (writing_) return;
  writing_ = true;
  spawn(socket_.get_executor(), write_queued(shared_from_this()));
}

asio::awaitable<void> Connection::write_queued(std::shared_ptr<Connection> self) {
  co_await self->write_queued();
}

asio::awaitable<std::size_t> Connection::write_all(std::span<const std::byte> piece,
                                                   error_code& error) {
  std::size_t done = 0;
  if (const int file = std::exchange(attached_, -1); file >= 0) {
    try {
      done = co_await write_with(socket_, piece, file);
    } catch (const boost::system::system_error& failure) {
      error = failure.code();
      co_return done;
    }
  }
  const auto rest = piece.subspan(done);
  co_return done + co_await asio::async_write(socket_, asio::buffer(rest.data(), rest.size()),
                                              asio::redirect_error(asio::use_awaitable, error));
}

asio::awaitable<void> Connection::write_queued() {
  error_code error;
  while (!queue_.empty() && !error) {
    const std::vector<std::byte> batch = std::exchange(queue_, {});
    for (std::size_t at = 0; at < batch.size() && !error; at += kPiece) {
      arm_deadline(write_deadline_, kDeaf, timeout_);
      const std::size_t size = std::min(kPiece, batch.size() - at);
      sent_ += co_await write_all(std::span(batch).subspan(at, size), error);
    }
  }
  disarm(write_deadline_);
  writing_ = false;
  if (closing_ && !error) close(closing_why_);
  drained_.cancel();
  if (error && !closed_) close(not_written(error));
}

asio::awaitable<void> Connection::drained() {
  const auto self = shared_from_this();
  while (writing_ && !closed_) {
    error_code ignored;
    co_await drained_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (why_closed_) std::rethrow_exception(why_closed_);
}

void Connection::keep_alive() {
  if (closed_) return;
  // Four in a timeout: one that is late does not end a migration. The peer's may be shorter.
  heartbeat_.expires_after(std::min(timeout_ / 4, kSlowestHeartbeat));
  heartbeat_.async_wait([weak = weak_from_this()](error_code cancelled) {
    const auto self = weak.lock();
    if (cancelled || !self) return;
    self->send(FrameType::alive);
    self->keep_alive();
  });
}

void Connection::close_when_drained(std::exception_ptr why, std::chrono::milliseconds limit) {
  if (!writing_) return close(why);
  closing_ = true;
  closing_why_ = why;
  last_deadline_.expires_after(limit);
  last_deadline_.async_wait([self = shared_from_this(), why](error_code cancelled) {
    if (!cancelled) self->close(why ? why : timed_out(kDeaf));
  });
}

void Connection::reset_on_close() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
}

void Connection::deliver_on_close() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(false, 0), ignored);
}

void Connection::close(std::exception_ptr why) {
  if (closed_) return;
  closed_ = true;
  why_closed_ = std::move(why);
  deadline_.cancel();
  write_deadline_.cancel();
  heartbeat_.cancel();
  last_deadline_.cancel();
  drained_.cancel();
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace migration::net
