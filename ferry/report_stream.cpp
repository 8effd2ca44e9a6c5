#include "ferry/report_stream.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace ferry {

namespace asio = boost::asio;

ReportStream::ReportStream(asio::io_context& context)
    : changed_(context, asio::steady_timer::time_point::max()) {}

void ReportStream::progress(std::string line) {
  lines_.clear();
  lines_.push_back(std::move(line));
  changed_.cancel();
}

void ReportStream::end(std::string line) {
  lines_.push_back(std::move(line));
  ended_ = true;
  changed_.cancel();
}

asio::awaitable<std::string> ReportStream::next() {
  while (lines_.empty() && !ended_) {
    boost::system::error_code ignored;
    co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (lines_.empty()) co_return std::string();
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  co_return line;
}

}  // namespace ferry
