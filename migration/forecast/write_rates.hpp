#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "migration/forecast/write_sample.hpp"

namespace migration::forecast {

/// How often pages of a guest are written: which share of them at which rate, out of what was seen
/// of a sample of them.
///
/// A page that was written once in a second may be one of many that are written every minute, or
/// one of few that are written every second. Which of the two it is, all pages together tell: the
/// shares are those that make what was seen most likely (expectation maximisation over fixed
/// rates), with each page written at random times.
class WriteRates {
 public:
  /// A second, from the lowest up.
  static constexpr std::array<double, 18> kRates{
      0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.6, 1.25, 2.5, 5, 10, 20, 40, 80, 160, 320};
  using Shares = std::array<double, kRates.size()>;

  /// Nothing is known: all rates are as likely.
  WriteRates();
  [[nodiscard]] const Shares& shares() const { return shares_; }
  /// A rate, which comes as often as its share says, for `random` from 0 to below 1.
  [[nodiscard]] double rate(double random) const;

  /// Fits them to what was `seen` in steps of so many seconds.
  void fit(std::span<const WriteSample::Seen> seen, double step_seconds);
  /// Shifts them towards what was seen, of few pages: only as far as these tell clearly.
  void shift(std::span<const WriteSample::Seen> seen, double step_seconds);

 private:
  void iterate(std::span<const WriteSample::Seen> seen, double step_seconds, unsigned times);

  Shares shares_{};
};

}  // namespace migration::forecast
