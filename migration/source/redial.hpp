#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>

namespace migration::source {

/// Paces the attempts to reach the destination again: each pause is longer than the one before.
class Redial {
 public:
  explicit Redial(boost::asio::io_context& loop) : timer_(loop) {}

  /// The next pause is a short one again.
  void start_over() { delay_ = kFirst; }
  boost::asio::awaitable<void> pause();
  /// Ends the pause that is under way.
  void hurry() { timer_.cancel(); }

  /// The link is lost, with so many pages missing at the destination. Pauses first if some are and
  /// nothing has come through since it was lost before.
  boost::asio::awaitable<void> lost(std::uint64_t missing);
  /// For how long it has been lost.
  [[nodiscard]] std::chrono::steady_clock::duration away() const {
    return std::chrono::steady_clock::now() - lost_at_;
  }

 private:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLongest{5'000};

  boost::asio::steady_timer timer_;
  std::chrono::milliseconds delay_ = kFirst;
  std::chrono::steady_clock::time_point lost_at_;
  std::uint64_t missing_ = 0;  ///< when it was lost
};

}  // namespace migration::source
