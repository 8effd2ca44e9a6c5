#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>

#include "migration/base/address.hpp"
#include "migration/net/connection.hpp"
#include "migration/wire/messages.hpp"

namespace migration {

/// A question to the destination about a handover, over a connection of its own: what became of the
/// VM there. One at a time.
class Inquiry {
 public:
  /// Dials `to` and asks. Throws when nobody answers in time, and when another receiver does than
  /// the one that is asked for: it knows nothing, and the VM may have gone on to a third host.
  boost::asio::awaitable<wire::VmStatus> ask(Address to, wire::Inquire question,
                                             std::chrono::milliseconds timeout);
  /// Where the last question went, without a name to look up.
  [[nodiscard]] const Address& peer() const { return peer_; }

  /// While it is open: since ask() was called and until end() or take().
  [[nodiscard]] bool open() const { return connection_ != nullptr; }
  [[nodiscard]] net::Connection& connection() { return *connection_; }
  /// The connection goes on as something else.
  [[nodiscard]] std::shared_ptr<net::Connection> take();
  /// Whoever waits for the answer hears that there is none.
  void close();
  void end();

  /// Of all questions so far, but for connections that were taken.
  [[nodiscard]] std::uint64_t bytes_sent() const;
  [[nodiscard]] std::uint64_t bytes_received() const;

 private:
  std::shared_ptr<net::Connection> connection_;
  Address peer_;
  std::uint64_t sent_before_ = 0;
  std::uint64_t received_before_ = 0;
};

}  // namespace migration
