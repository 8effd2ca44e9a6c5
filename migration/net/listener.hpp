#pragma once

#include <boost/asio/io_context.hpp>
#include <optional>
#include <span>
#include <vector>

#include "migration/net/lookup.hpp"
#include "migration/net/socket.hpp"
#include "migration/net/socket_file.hpp"

namespace migration::net {

/// Where a process listens: one acceptor for each endpoint of the address, all with one port.
class Listener {
 public:
  /// An address without a host's name. std::system_error that names the address and the cause.
  Listener(asio::io_context& context, const Address& address);
  /// What was found for a name. An endpoint that this host does not have is left out, unless it has
  /// none of them.
  Listener(asio::io_context& context, const Address& address, std::span<const Endpoint> endpoints);
  ~Listener() { close(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] std::span<Acceptor> acceptors() { return acceptors_; }
  /// As asked, with the port that the system chose.
  [[nodiscard]] const Address& address() const { return address_; }
  /// Nobody is accepted any more, and a socket's file is gone.
  void close();

 private:
  Address address_;
  std::vector<Acceptor> acceptors_;
  std::optional<SocketFile> file_;
};

}  // namespace migration::net
