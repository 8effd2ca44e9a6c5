#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "migration/policy/convergence.hpp"

namespace migration {

/// How long a migration will still take, for people (pure): what is being sent, at
/// the rate at which pages went of late. In pre-copy, once a round has told what the guest writes,
/// then as many rounds as `decide` would have of a guest and a link that stay as they are.
class TimeLeft {
 public:
  using Time = std::chrono::nanoseconds;

  /// Of the `all` pages that are being sent so many have `gone`. `after`: what was known when they
  /// were taken up, if rounds may follow.
  void tell(Time now, std::uint64_t all, std::uint64_t gone,
            const std::optional<ConvergenceInput>& after);
  /// Nothing is being sent, or nobody takes it.
  void tell_none();

  /// Nullopt while it is not known.
  [[nodiscard]] std::optional<double> seconds() const { return seconds_; }

 private:
  void measure(Time now, std::uint64_t gone);

  bool begun_ = false;
  Time sample_began_{};
  std::uint64_t gone_then_ = 0;
  double pages_per_second_ = 0;  ///< 0: not known
  std::optional<double> seconds_;
};

/// Seconds from when a round has landed that took `seconds`, with `input` of the round before.
[[nodiscard]] double seconds_after_round(double seconds, ConvergenceInput input);

}  // namespace migration
