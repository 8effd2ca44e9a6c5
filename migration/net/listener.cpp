#include "migration/net/listener.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "migration/net/address_error.hpp"

namespace migration::net {

namespace {

using boost::system::error_code;

/// The system chooses a port that is free at one endpoint; at the next it may be taken.
constexpr int kPortAttempts = 16;

[[noreturn]] void fail(const error_code& error, const Address& address) {
  throw std::system_error(error.value(), std::system_category(),
                          fmt::format("cannot listen on {}", to_string(address)));
}

/// The port is at the same place for IPv4 and IPv6.
std::uint16_t port_of(const Endpoint& endpoint) {
  sockaddr_in6 there{};
  std::memcpy(&there, endpoint.data(), std::min(endpoint.size(), sizeof(there)));
  return ntohs(there.sin6_port);
}

Endpoint with_port(const Endpoint& endpoint, std::uint16_t port) {
  sockaddr_in6 there{};
  const std::size_t size = std::min(endpoint.size(), sizeof(there));
  std::memcpy(&there, endpoint.data(), size);
  there.sin6_port = htons(port);
  return {&there, size, endpoint.protocol().protocol()};
}

/// `alone`: no other endpoint is listened on, so that the IPv6 one for any address takes IPv4 too.
error_code open(Acceptor& acceptor, const Endpoint& endpoint, bool alone) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error && !alone && endpoint.protocol().family() == AF_INET6) {
    acceptor.set_option(asio::ip::v6_only(true), error);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  return error;
}

/// This host lacks the address, or its whole family.
bool absent(const error_code& error) {
  return error == asio::error::address_family_not_supported || error.value() == EADDRNOTAVAIL;
}

/// Listens on all of them that this host has. The acceptors are none on an error.
std::vector<Acceptor> open_all(asio::io_context& context, std::span<const Endpoint> endpoints,
                               error_code& error) {
  std::vector<Acceptor> acceptors;
  error_code missing;
  for (const Endpoint& endpoint : endpoints) {
    const std::uint16_t port =
        acceptors.empty() ? port_of(endpoint) : port_of(acceptors.front().local_endpoint());
    Acceptor acceptor(context);
    error = open(acceptor, with_port(endpoint, port), endpoints.size() == 1);
    if (!error) {
      acceptors.push_back(std::move(acceptor));
    } else if (absent(error)) {
      missing = error;
    } else {
      return {};
    }
  }
  error = acceptors.empty() ? missing : error_code();
  return acceptors;
}

}  // namespace

Listener::Listener(asio::io_context& context, const Address& address)
    : Listener(context, address, endpoints_of(address)) {}

Listener::Listener(asio::io_context& context, const Address& address,
                   std::span<const Endpoint> endpoints)
    : address_(address) {
  error_code error;
  if (address.kind == Address::Kind::unix_socket) {
    acceptors_.emplace_back(context);
    acceptors_.front().open(endpoints.front().protocol(), error);
    if (error) fail(error, address);
    file_.emplace(acceptors_.front(), address);
    return;
  }
  const int attempts = address.port == 0 ? kPortAttempts : 1;
  for (int attempt = 0; attempt < attempts && acceptors_.empty(); ++attempt) {
    acceptors_ = open_all(context, endpoints, error);
    if (error && error != asio::error::address_in_use) break;
  }
  if (error) fail(error, address);
  address_.port = port_of(acceptors_.front().local_endpoint());
}

void Listener::close() {
  // First: a file whose socket is closed looks like a dead process's.
  file_.reset();
  for (Acceptor& acceptor : acceptors_) {
    error_code ignored;
    acceptor.close(ignored);
  }
}

}  // namespace migration::net
