#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <functional>
#include <string>

/// What no handler and no coroutine of an event loop caught is not lost, and ends nobody else.
namespace migration::net {

/// Starts a coroutine that nobody waits for. What escapes from it is thrown in the loop.
void spawn(boost::asio::any_io_executor loop, boost::asio::awaitable<void> coroutine,
           boost::asio::cancellation_slot interrupt = {});

/// Runs the loop until it is stopped or has nothing left to do. What escapes from a handler is
/// handed to `escaped`, and the loop goes on.
void run(boost::asio::io_context& loop, const std::function<void(std::exception_ptr)>& escaped);

/// For people.
[[nodiscard]] std::string what(const std::exception_ptr& failure);

}  // namespace migration::net
