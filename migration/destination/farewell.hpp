#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <utility>

namespace migration::destination {

/// The end of the destination's part: for how long it stays to answer what became of the VM, and
/// who waits until nothing is left to answer.
class Farewell {
 public:
  explicit Farewell(boost::asio::io_context& context) : stay_(context) {}

  /// Tells when the time for answering is over.
  void stay(std::chrono::milliseconds time, std::function<void()> over) {
    stay_.expires_after(time);
    stay_.async_wait([over = std::move(over)](boost::system::error_code cancelled) {
      if (!cancelled) over();
    });
  }
  /// `done` is called once nothing is left to answer, be that now.
  void when_done(std::function<void()> done) {
    if (done_) return done();
    waiting_ = std::move(done);
  }
  /// Nothing is left to answer.
  void finish() {
    stay_.cancel();
    done_ = true;
    if (waiting_) waiting_();
  }

 private:
  boost::asio::steady_timer stay_;
  std::function<void()> waiting_;
  bool done_ = false;
};

}  // namespace migration::destination
