#pragma once

#include <cstddef>
#include <vector>

#include "placement/policy.hpp"
#include "published.hpp"

namespace study {

/// What a policy takes to decide once.
struct Decision {
  std::size_t vms = 0;
  std::size_t hosts = 0;
  double first_seconds = 0;  ///< of CPU: all VMs are where they started
  double next_seconds = 0;   ///< one sample later, when they are where it wants them
};

/// Of fleets twice as large each time, of the published setting: from the traces taken once to
/// `most` times. `memory_counts`: as of Setting.
[[nodiscard]] std::vector<Decision> growth(const placement::Policy& policy,
                                           const std::vector<Trace>& traces, std::size_t most,
                                           bool memory_counts);

}  // namespace study
