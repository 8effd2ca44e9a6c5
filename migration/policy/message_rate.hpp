#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

namespace migration {

/// Which of many messages about the same are told: some in a while, and the others are counted.
class MessageRate {
 public:
  using Clock = std::chrono::steady_clock;

  MessageRate(unsigned most, Clock::duration within) : most_(most), within_(within) {}

  /// Whether a message is told.
  [[nodiscard]] bool tell(Clock::time_point now) {
    if (now >= end_) {
      end_ = now + within_;
      told_ = 0;
    }
    if (told_ < most_) {
      ++told_;
      return true;
    }
    ++untold_;
    return false;
  }
  /// Those that were not told since this was called last.
  [[nodiscard]] std::uint64_t take_untold() { return std::exchange(untold_, 0); }
  [[nodiscard]] std::uint64_t untold() const { return untold_; }
  /// When the while is over in which no more are told.
  [[nodiscard]] Clock::time_point end() const { return end_; }

 private:
  const unsigned most_;
  const Clock::duration within_;
  Clock::time_point end_;
  unsigned told_ = 0;
  std::uint64_t untold_ = 0;
};

}  // namespace migration
