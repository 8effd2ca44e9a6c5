#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace placement {

/// What a VM is expected to use, and what VMs are expected to use together.
struct Expected {
  double mean = 0;
  double variance = 0;
  double needs = 0;  ///< what a host must have
  double latest = 0;
  std::uint64_t memory = 0;
  std::size_t vms = 0;

  Expected& operator+=(const Expected& other) {
    mean += other.mean;
    variance += other.variance;
    needs += other.needs;
    latest += other.latest;
    memory += other.memory;
    vms += other.vms;
    return *this;
  }
  Expected& operator-=(const Expected& other) {
    vms -= other.vms;
    memory -= other.memory;
    if (vms == 0) return *this = {};
    mean -= other.mean;
    variance = std::max(0.0, variance - other.variance);
    needs -= other.needs;
    latest -= other.latest;
    return *this;
  }
  /// With so many standard deviations.
  [[nodiscard]] double peak(double deviations) const {
    return std::max(needs, mean + deviations * std::sqrt(variance));
  }
};

}  // namespace placement
