#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>

#include "migration/address.hpp"

namespace migration::net {

namespace asio = boost::asio;

/// One socket type for TCP and Unix, so that nothing above asks which it is.
using Socket = asio::generic::stream_protocol::socket;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

/// Connects, trying each address that a host name resolves to, within `timeout` in all.
/// std::system_error that names the address.
[[nodiscard]] asio::awaitable<Socket> dial(Address address, std::chrono::milliseconds timeout);

/// Binds and listens. A Unix path is for this user alone; one left behind by a dead process is
/// replaced, one in use is not.
/// Blocks while a host name is resolved. std::system_error that names the address and the cause.
[[nodiscard]] Acceptor listen(asio::io_context& context, const Address& address);

/// Where `acceptor` really listens: the address as asked, with the port that the system chose.
[[nodiscard]] Address bound_address(const Acceptor& acceptor, const Address& asked);

/// No Nagle delay, and a TCP peer that acknowledges nothing for `timeout` is an error. No effect on
/// Unix sockets.
void tune(Socket& socket, std::chrono::milliseconds timeout);

/// For a connected socket that will carry pages. A send buffer grows to megabytes by itself, and
/// then every byte leaves the CPU's caches before the other side copies it. Where the round trip is
/// so short that a small buffer keeps the link busy, as within a host, it stays small: that takes
/// a tenth off the time and the CPU time of a migration (docs/performance.md). Elsewhere nothing
/// changes.
void tune_bulk(Socket& socket);

}  // namespace migration::net
