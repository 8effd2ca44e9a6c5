#pragma once

#include <cstdint>

#include "migration/base/options.hpp"
#include "placement/fleet.hpp"

namespace placement {

/// What a move costs.
struct MoveCost {
  double bytes = 0;  ///< on the wire
  double seconds = 0;
  double downtime_seconds = 0;
  double joules = 0;
};

/// What the energy of a migration is made of (Liu et al. 2011, "Performance and energy modeling for
/// live migration of virtual machines": E = 0.512 V + 20.165, of both hosts, with V in megabytes).
struct EnergyOfMoves {
  double joules_per_byte = 0.512e-6;
  double joules = 20.165;  ///< each
};

/// Of a move at a share of a link. The closed form of the literature, not a run of
/// migration/model, which takes milliseconds and more for each guest: with lambda = dirty rate /
/// bandwidth, n rounds of pre-copy take V = M (1 - lambda^(n+1)) / (1 - lambda), and the last of
/// them is the stop; post-copy takes what is used, once. A host that keeps an image of the VM is
/// sent a share of it.
[[nodiscard]] MoveCost cost_of(const Vm& vm, HostIndex to, migration::Mode mode,
                               double bytes_per_second, const EnergyOfMoves& energy = {});

/// Pre-copy if it converges at this rate, or else post-copy.
[[nodiscard]] migration::Mode mode_for(const Vm& vm, double bytes_per_second);

/// What a guest writes, in bytes per second.
[[nodiscard]] double dirty_rate(const Vm& vm);

/// The part of a move in which its link is idle: processes start, and both sides make ready.
inline constexpr double kSetUpSeconds = 0.05;

}  // namespace placement
