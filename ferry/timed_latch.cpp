#include "ferry/timed_latch.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace ferry {

namespace asio = boost::asio;

TimedLatch::TimedLatch(asio::io_context& context)
    : timer_(context, asio::steady_timer::time_point::min()) {}

void TimedLatch::expect() { timer_.expires_at(asio::steady_timer::time_point::max()); }

void TimedLatch::expect_within(std::chrono::milliseconds limit) { timer_.expires_after(limit); }

void TimedLatch::open() { timer_.expires_at(asio::steady_timer::time_point::min()); }

asio::awaitable<void> TimedLatch::wait() {
  boost::system::error_code cancelled;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

}  // namespace ferry
