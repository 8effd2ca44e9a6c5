#pragma once

#include <cstdint>

namespace guest {

/// The marks on the serial port: a letter for each tick, with a strictly growing counter.
class Ticker {
 public:
  explicit Ticker(std::uint64_t period_ms);

  /// Prints the mark that is due at TSC time `now`, and returns when the next one is. Marks that a
  /// stop of the machine swallowed are not made up for: their gap is what a test measures.
  std::uint64_t step(std::uint64_t now);

  std::uint64_t ticks() const { return ticks_; }

  /// Whether the last step() completed a block of 104 ticks, after which a report is due.
  bool block_completed() const { return block_completed_; }

 private:
  std::uint64_t period_;
  std::uint64_t due_;
  std::uint64_t ticks_ = 0;
  bool block_completed_ = false;
};

}  // namespace guest
