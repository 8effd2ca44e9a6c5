#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <vector>

#include "migration/base/address.hpp"

namespace migration::net {

namespace asio = boost::asio;

using Endpoint = asio::generic::stream_protocol::endpoint;

/// Where `address` is: the endpoints of its host's name, each once, those first that the system
/// prefers. Waits for at most `limit`, and until the coroutine is cancelled.
///
/// What the system offers (getaddrinfo) blocks for as long as name servers do not answer, and
/// cannot be ended. So it runs in a thread that nobody waits for, and that may outlive all but the
/// process. There are a few of them at a time at most.
///
/// AddressError that names the address and the cause.
[[nodiscard]] asio::awaitable<std::vector<Endpoint>> look_up(Address address,
                                                             std::chrono::milliseconds limit);

/// The same of an address without a host's name, which takes no time; none if it has one.
[[nodiscard]] std::vector<Endpoint> endpoints_of(const Address& address);

}  // namespace migration::net
