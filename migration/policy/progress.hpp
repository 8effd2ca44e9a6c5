#pragma once

#include <algorithm>
#include <cstdint>

namespace migration {

/// How much of a VM has travelled, for people: per cent of the pages that have to. It never falls,
/// though the guest writes pages again that were sent, and stays below 100, which only the end of
/// the migration is.
class Progress {
 public:
  static constexpr double kDone = 100;

  /// `left` of `all` pages have still to travel.
  void tell(std::uint64_t left, std::uint64_t all) {
    if (all == 0) return;
    const auto gone = static_cast<double>(all - std::min(left, all));
    percent_ = std::max(percent_, std::min(kDone * gone / static_cast<double>(all), kMost));
  }
  [[nodiscard]] double percent() const { return percent_; }

 private:
  static constexpr double kMost = 99.9;
  double percent_ = 0;
};

}  // namespace migration
