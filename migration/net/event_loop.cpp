#include "migration/net/event_loop.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <utility>

namespace migration::net {

namespace asio = boost::asio;

void spawn(asio::any_io_executor loop, asio::awaitable<void> coroutine,
           asio::cancellation_slot interrupt) {
  asio::co_spawn(loop, std::move(coroutine),
                 asio::bind_cancellation_slot(interrupt, [](const std::exception_ptr& failure) {
                   if (failure) std::rethrow_exception(failure);
                 }));
}

void run(asio::io_context& loop, const std::function<void(std::exception_ptr)>& escaped) {
  for (;;) {
    try {
      loop.run();
      return;
    } catch (...) {
      escaped(std::current_exception());
    }
  }
}

std::string what(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an error of an unknown kind";
  }
}

}  // namespace migration::net
