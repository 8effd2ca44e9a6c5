#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

namespace ferry {

/// Something that is to come, which coroutines of the event loop wait for: once it has come, or the
/// time for it is over, nobody waits any more. Before it is expected nobody waits either.
class TimedLatch {
 public:
  explicit TimedLatch(boost::asio::io_context& context);

  /// From now on, for as long as it takes.
  void expect();
  /// From now on, for so long at most.
  void expect_within(std::chrono::milliseconds limit);
  /// It has come: also for those who have yet to wait for it.
  void open();

  boost::asio::awaitable<void> wait();

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace ferry
