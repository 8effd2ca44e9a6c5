#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "migration/base/options.hpp"
#include "migration/base/token.hpp"
#include "migration/net/connection.hpp"
#include "migration/pages/page_sender.hpp"
#include "migration/pages/rate_limiter.hpp"

namespace migration::source {

/// The destination's own word that it will not run the VM.
class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The way to the destination: the control connection, or the newest inquiry, and the connections
/// of pages and faults that go with it. There is one at a time: what is heard of an earlier one
/// means nothing. It counts what they carry.
class Link {
 public:
  using Failure = std::function<void(std::exception_ptr)>;

  /// `failed` is called in the loop when a connection of pages or faults has failed, and the
  /// control connection has not told why for a moment.
  Link(boost::asio::io_context& loop, vmm::GuestMemory& memory, const MigrateOptions& options,
       Failure failed);

  /// Of this one handover.
  [[nodiscard]] const Token& token() const { return token_; }
  /// What all page channels share.
  [[nodiscard]] PageSender::Shared& shared() { return shared_; }
  [[nodiscard]] RateLimiter& limiter() { return limiter_; }
  [[nodiscard]] const ActiveChannels& channels() const { return channels_; }
  [[nodiscard]] const PageCounters& counters() const { return counters_; }
  [[nodiscard]] std::uint64_t pages_sent() const;
  /// Before channels are opened: pages that are sent again go as deltas where that pays.
  /// std::bad_alloc: they do not.
  void send_deltas(std::uint64_t cache_bytes);
  /// The same: content that was sent goes as a reference to it.
  void send_duplicates();
  /// The most that it took.
  [[nodiscard]] std::uint64_t delta_cache_bytes() const {
    return deltas_ ? deltas_->used_bytes() : cache_bytes_;
  }

  /// The control connection is a new one, that has said nothing yet.
  boost::asio::awaitable<void> dial(Address to);
  [[nodiscard]] bool up() const { return control_ != nullptr; }
  /// While it is up.
  [[nodiscard]] net::Connection& control() { return *control_; }
  /// The next frame, which has to be of this type. Throws Refused when the destination refuses.
  boost::asio::awaitable<net::Frame> expect(wire::FrameType type);
  /// The same of a frame that has come.
  [[nodiscard]] static net::Frame checked(net::Frame frame, wire::FrameType type);
  /// Nobody is told while there is no link.
  void send(wire::FrameType type, std::span<const std::byte> payload = {});
  /// Much, which is held to the bandwidth cap.
  boost::asio::awaitable<void> send_bulk(wire::FrameType type, std::span<const std::byte> payload);
  /// The control connection goes to the caller.
  [[nodiscard]] std::shared_ptr<net::Connection> release();

  boost::asio::awaitable<void> open_channels();
  /// Another host may answer at a name: this is of the host that the control connection leads to.
  boost::asio::awaitable<net::Socket> dial_faults();
  /// All channels together send it.
  void start(const std::shared_ptr<Round>& round);
  /// To be called by any thread when a connection of the link as it is now has failed.
  [[nodiscard]] Failure failure_of_now();

  /// The connections of pages and faults: whatever they tell from now on is of no interest.
  void drop_channels();
  void drop();

  /// Over all connections; of those of faults only the first words.
  [[nodiscard]] std::uint64_t bytes_sent() const;
  [[nodiscard]] std::uint64_t bytes_received() const;
  /// Of these, what may be much: not signs of life.
  [[nodiscard]] std::uint64_t bulk_sent() const { return counters_.wire_bytes + bulk_; }

 private:
  void forget_sent();
  void open_channel(unsigned index, net::Socket socket);
  void channel_failed(unsigned link, std::exception_ptr failure);
  boost::asio::awaitable<void> pace();

  boost::asio::io_context& loop_;
  const Token token_ = random_token();
  RateLimiter limiter_;
  PageCounters counters_;
  ActiveChannels channels_;
  std::optional<SentRounds> sent_;
  std::optional<DeltaCache> deltas_;
  std::uint64_t cache_bytes_ = 0;  ///< of the one that was
  PageSender::Shared shared_;
  Failure failed_;
  std::shared_ptr<net::Connection> control_;
  Address peer_;  ///< where it leads to, without a name to look up
  std::vector<std::unique_ptr<PageSender>> senders_;
  unsigned number_ = 0;  ///< counts the links
  boost::asio::steady_timer grace_;
  std::uint64_t bulk_ = 0;                               ///< bytes of bulk over control connections
  std::uint64_t closed_sent_ = 0, closed_received_ = 0;  ///< bytes over connections that are closed
};

}  // namespace migration::source
