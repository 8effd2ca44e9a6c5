#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <string>

namespace ferry {

/// The reports of one migration, on their way to the client that began it. Main thread only.
class ReportStream {
 public:
  explicit ReportStream(boost::asio::io_context& context);
  /// A report that goes on waiting behind a slow client is replaced by a newer one.
  void progress(std::string line);
  /// The last one.
  void end(std::string line);

  /// The next line; empty after the last.
  boost::asio::awaitable<std::string> next();

 private:
  std::deque<std::string> lines_;
  bool ended_ = false;
  boost::asio::steady_timer changed_;
};

}  // namespace ferry
