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
  /// As in the published study: a move takes RAM / (bandwidth / 2), whatever else moves, and all
  /// moves begin at once.
  bool published = false;
  bool reuse = false;  ///< a host keeps an image of each VM that leaves it
  bool none = false;   ///< nothing moves
};

/// A day of a fleet: at each sample the policy of `ferry plan` says where VMs should be, and they
/// go there in the order of `ferry plan`.
[[nodiscard]] Figures simulate(placement::Fleet fleet, const std::vector<Trace>& traces,
                               const placement::Policy& policy, const Charge& charge);

}  // namespace study
