#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "migration/base/address.hpp"
#include "migration/net/connection.hpp"
#include "migration/net/listener.hpp"
#include "migration/policy/message_rate.hpp"

namespace migration::destination {

/// Where the destination listens, and who is let in before it is known what he wants: a *stranger*.
/// There are not too many strangers at a time, and not too many messages about them.
class Door {
 public:
  using ConnectionPtr = std::shared_ptr<net::Connection>;
  struct Callbacks {
    std::function<void(const Address&)> listening;         ///< with the real port; once
    std::function<void(const std::system_error&)> failed;  ///< to listen: nobody comes
    /// Nobody can be accepted for now, for want of descriptors say.
    std::function<void(const std::string&)> stuck;
    /// Serves a connection that has said its role, and which is closed once that returns. What it
    /// throws is told of a stranger.
    std::function<boost::asio::awaitable<void>(ConnectionPtr, wire::Role)> serve;
    std::function<void(const std::string&)> message;
  };

  /// Listens at once, unless a host's name is to be looked up first: std::system_error that names
  /// the address when it cannot. `timeout`: for the look-up, and of the connections.
  Door(boost::asio::io_context& context, Address address, std::chrono::milliseconds timeout,
       Callbacks callbacks);

  [[nodiscard]] bool listens() const { return listener_.has_value(); }
  /// Lets people in from now on.
  void open();
  /// The connection belongs to the VM from now on: it is no stranger's.
  void let_in(const ConnectionPtr& connection) { strangers_.remove(connection); }
  void tell_of_stranger(const std::string& what);

 private:
  /// So many messages about strangers within such a time; the others are counted.
  static constexpr unsigned kMessages = 5;
  static constexpr std::chrono::seconds kMessagesTime{10};

  boost::asio::awaitable<void> listen();
  boost::asio::awaitable<void> accept_all(net::Acceptor& acceptor);
  void welcome(net::Socket socket);
  boost::asio::awaitable<void> serve(ConnectionPtr connection);

  boost::asio::io_context& context_;
  const Address address_;
  const std::chrono::milliseconds timeout_;
  const Callbacks callbacks_;
  std::optional<net::Listener> listener_;
  std::list<ConnectionPtr> strangers_;  ///< the oldest first
  MessageRate messages_{kMessages, kMessagesTime};
  boost::asio::steady_timer untold_;  ///< until the messages are told that were counted
};

}  // namespace migration::destination
