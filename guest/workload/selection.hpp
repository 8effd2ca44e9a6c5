#pragma once

#include <cstdint>

#include "guest/workload/random.hpp"

namespace guest {

/// Picks exactly `wanted` of `count` things, each set of them as likely as another, while they go
/// by once: selection sampling (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S).
/// The same seed picks the same.
class Selection {
 public:
  Selection(std::uint64_t wanted, std::uint64_t count, std::uint64_t seed)
      : wanted_(wanted), left_(count), random_(seed) {}

  /// Whether the next one is picked; to be asked at most `count` times.
  bool take() {
    const bool taken = random_.below(left_--) < wanted_;
    if (taken) --wanted_;
    return taken;
  }

  /// How many are still to be picked.
  std::uint64_t wanted() const { return wanted_; }

 private:
  std::uint64_t wanted_;
  std::uint64_t left_;
  Random random_;
};

}  // namespace guest
