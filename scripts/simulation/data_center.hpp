#pragma once

#include <optional>
#include <vector>

#include "metrics.hpp"
#include "migration/base/options.hpp"
#include "network.hpp"
#include "placement/fleet.hpp"
#include "placement/policy.hpp"
#include "published.hpp"

namespace study {

/// How moves are charged.
struct Charge {
  migration::Mode mode = migration::Mode::automatic;
  /// As in the published study: a move takes RAM / (bandwidth / 2), whatever else moves, all moves
  /// begin at once, and a VM may have two of them.
  bool published = false;
  bool reuse = false;  ///< a host keeps an image of each VM that leaves it
  bool none = false;   ///< nothing moves
  /// VMs stay when they ask for nothing. In the published study those end that ask for nothing at
  /// two samples in a row: its program looks just after a sample, on the way to the next.
  bool vms_stay = false;
};

/// A day of a fleet: at each sample the policy of `ferry plan` says where VMs should be, and they
/// go there in the order of `ferry plan`.
[[nodiscard]] Figures simulate(placement::Fleet fleet, const std::vector<Trace>& traces,
                               const placement::Policy& policy, const Charge& charge);

}  // namespace study
