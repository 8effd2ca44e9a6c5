#pragma once

#include <boost/asio/awaitable.hpp>
#include <exception>
#include <memory>
#include <span>
#include <utility>

#include "migration/net/connection.hpp"

namespace migration::destination {

/// The connection by which the source speaks: the control connection, or the newest inquiry. What
/// waits in one before it is not the source's word any more.
class Link {
 public:
  using ConnectionPtr = std::shared_ptr<net::Connection>;

  /// `connection` is the link from now on. The one before stays open until close_earlier().
  void take_over(ConnectionPtr connection) {
    earlier_ = std::exchange(current_, std::move(connection));
    acknowledged_ = false;
  }
  void close_earlier() {
    if (earlier_) std::exchange(earlier_, nullptr)->close();
  }

  [[nodiscard]] bool is_up() const { return current_ != nullptr; }
  [[nodiscard]] const ConnectionPtr& current() const { return current_; }
  [[nodiscard]] bool is(const ConnectionPtr& connection) const { return connection == current_; }

  /// To nobody, when the link is lost.
  void send(wire::FrameType type, std::span<const std::byte> payload = {}) {
    if (current_) current_->send(type, payload);
  }
  /// The source knows that the VM is here: that is told it, on this link.
  void acknowledge() {
    send(wire::FrameType::acknowledged);
    acknowledged_ = true;
  }
  [[nodiscard]] bool acknowledged() const { return acknowledged_; }
  /// What was sent is with the kernel, or the connection is gone.
  boost::asio::awaitable<void> drained() {
    try {
      if (const ConnectionPtr connection = current_) co_await connection->drained();
    } catch (const std::exception&) {
      // The source finds out by the silence.
    }
  }

  /// Whoever reads from it finds out, and that is a loss of the link.
  void close(std::exception_ptr why) {
    if (current_) current_->close(std::move(why));
  }
  /// It is lost, and that is known.
  void lose() {
    if (const ConnectionPtr lost = std::exchange(current_, nullptr)) lost->close();
  }
  /// The same, when nothing more is needed of it: what it still carries goes on.
  void forget() { current_ = nullptr; }

 private:
  ConnectionPtr current_;
  ConnectionPtr earlier_;
  bool acknowledged_ = false;
};

}  // namespace migration::destination
