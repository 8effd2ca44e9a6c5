#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>

#include "migration/net/connection.hpp"
#include "migration/wire/messages.hpp"

namespace migration {

/// Asks a receiver what became of a VM, over a connection that has just been dialled: its first
/// words. Throws where nobody answers within the timeout, or another incarnation does.
boost::asio::awaitable<wire::VmStatus> ask(net::Connection& connection, wire::Inquire question,
                                           std::chrono::milliseconds timeout);

}  // namespace migration
