#include "migration/source/redial.hpp"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace migration::source {

namespace asio = boost::asio;

asio::awaitable<void> Redial::pause() {
  timer_.expires_after(delay_);
  delay_ = std::min(delay_ * 2, kLongest);
  boost::system::error_code cancelled;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

asio::awaitable<void> Redial::lost(std::uint64_t missing) {
  lost_at_ = std::chrono::steady_clock::now();
  if (missing > 0 && std::exchange(missing_, missing) == missing) {
    co_await pause();
  } else {
    start_over();
  }
}

}  // namespace migration::source
