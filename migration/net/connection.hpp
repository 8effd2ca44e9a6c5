#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "migration/net/socket.hpp"
#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration::net {

struct Frame {
  wire::FrameType type{};
  std::vector<std::byte> payload;
};

/// A control or inquiry connection: whole frames each way, in one thread.
///
/// Both sides send an `alive` frame several times per timeout, so silence for a whole timeout means
/// that the peer hangs or that the link is dead, whatever the transport: `receive` ends with an
/// error then. Held by shared_ptr, as its own coroutines may outlast the caller's interest.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Socket socket, std::chrono::milliseconds timeout);

  /// The dialling side's first act: sends the preamble, and checks the one that comes back.
  asio::awaitable<void> greet(wire::Role role);
  /// The listening side's: reads the preamble; answers it unless the role is `pages` or `faults`.
  /// What comes until `first_frame` has ended has to come within `patience` in all: nobody is
  /// trusted before.
  asio::awaitable<wire::Role> welcome(std::chrono::milliseconds patience);
  /// The first frame after `welcome`, which has to be of that type; else ProtocolError with
  /// `otherwise`, before anything of it is read.
  asio::awaitable<Frame> first_frame(wire::FrameType type, const char* otherwise);
  /// The descriptor that came with it, if one did: over a Unix socket, with an offer.
  [[nodiscard]] vmm::UniqueFd take_descriptor() { return std::move(descriptor_); }
  /// The next frame that is not `alive`, within `limit` whatever signs of life there are.
  asio::awaitable<Frame> answer(std::chrono::milliseconds limit);

  /// Sends `alive` frames from now on until the connection closes.
  void keep_alive();

  /// The next frame that is not `alive`. One at a time.
  asio::awaitable<Frame> receive();
  /// Has `sending` told of the bytes of every frame that is queued from now on.
  void account(std::function<void(std::size_t bytes)> sending) { sending_ = std::move(sending); }
  /// Queues a frame; frames go out in order. A failure shows in `receive`.
  void send(wire::FrameType type, std::span<const std::byte> payload = {});
  /// `file` goes with the next frame, over a Unix socket. It is the caller's until drained().
  void attach(int file) { attached_ = file; }
  /// Whether the kernel does not yet have all that was queued.
  [[nodiscard]] bool busy() const { return writing_; }
  /// Waits until the kernel has all that was queued. A peer that takes nothing for the timeout is
  /// lost, as one that says nothing is.
  asio::awaitable<void> drained();

  /// From now on closing discards what the peer has not acknowledged. Else the kernel would go on
  /// sending it for a while.
  void reset_on_close();
  /// As it is at first.
  void deliver_on_close();

  /// Ends the pending receive with `why`, when given, else with operation_aborted.
  void close(std::exception_ptr why = nullptr);

  /// The same once the kernel has all that was queued, but no later than `limit` from now: then
  /// with an error.
  void close_when_drained(std::exception_ptr why, std::chrono::milliseconds limit);

  /// Gives the socket away: for a page connection, which has a thread of its own.
  [[nodiscard]] Socket release() { return std::move(socket_); }

  [[nodiscard]] std::uint64_t bytes_sent() const { return sent_; }
  [[nodiscard]] std::uint64_t bytes_received() const { return received_; }

 private:
  asio::awaitable<void> read(std::span<std::byte> into);
  /// The same, with what comes beside the bytes.
  asio::awaitable<std::size_t> read_all(std::span<std::byte> into,
                                        boost::system::error_code& error);
  asio::awaitable<std::size_t> write_all(std::span<const std::byte> piece,
                                         boost::system::error_code& error);
  asio::awaitable<wire::FrameHeader> read_header();
  asio::awaitable<Frame> read_payload(wire::FrameHeader header);
  /// Keeps the connection alive until it is done.
  static asio::awaitable<void> write_queued(std::shared_ptr<Connection> self);
  asio::awaitable<void> write_queued();
  static void disarm(asio::steady_timer& deadline);
  void arm_deadline(asio::steady_timer& deadline, const char* why, std::chrono::milliseconds limit);

  Socket socket_;
  std::chrono::milliseconds timeout_;
  wire::Side side_ = wire::Side::destination;  ///< that this is
  asio::steady_timer deadline_;                ///< of what is awaited from the peer
  asio::steady_timer write_deadline_;          ///< of what the peer is to take
  asio::steady_timer heartbeat_;
  asio::steady_timer drained_;        ///< never expires: cancelled to wake who waits for the queue
  asio::steady_timer last_deadline_;  ///< of close_when_drained()
  std::function<void(std::size_t)> sending_;
  std::vector<std::byte> queue_;
  int attached_ = -1;              ///< to the bytes that are written next
  bool takes_descriptor_ = false;  ///< with what is read
  vmm::UniqueFd descriptor_;
  bool writing_ = false;
  bool closing_ = false;  ///< once all is written
  std::exception_ptr closing_why_;
  bool closed_ = false;
  std::exception_ptr why_closed_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
};

}  // namespace migration::net
