#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>

#include "migration/base/address.hpp"

namespace migration::net {

namespace asio = boost::asio;

/// One socket type for TCP and Unix, so that nothing above asks which it is.
using Socket = asio::generic::stream_protocol::socket;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

/// Connects, trying each address that a host name has, each for its share of the time. `timeout` is
/// for all of it, with the look-up of the name. std::system_error that names the address.
[[nodiscard]] asio::awaitable<Socket> dial(Address address, std::chrono::milliseconds timeout);

/// Where `socket`, which was dialled at `asked`, has got to: further connections to the same host
/// need no name.
[[nodiscard]] Address peer_address(const Socket& socket, const Address& asked);

/// No Nagle delay, and a TCP peer that acknowledges nothing for `timeout` is an error. No effect on
/// Unix sockets.
void tune(Socket& socket, std::chrono::milliseconds timeout);

/// For a connected socket that will carry pages. A send buffer grows to megabytes by itself, and
/// then every byte leaves the CPU's caches before the other side copies it. Where the round trip is
/// so short that a small buffer keeps the link busy, as within a host, it stays small: that takes
/// a tenth off the time and the CPU time of a migration (docs/decisions/0005). Elsewhere nothing
/// changes.
void tune_bulk(Socket& socket);

}  // namespace migration::net
