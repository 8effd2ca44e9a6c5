#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "migration/base/options.hpp"
#include "placement/cost.hpp"
#include "placement/fleet.hpp"
#include "placement/order.hpp"

namespace placement {

/// One VM from one host to another, beside the others of its step.
struct Move {
  VmIndex vm = 0;
  HostIndex from = 0;
  HostIndex to = 0;
  std::size_t step = 0;  ///< 1 or more
  migration::Mode mode = migration::Mode::pre_copy;
  MoveCost cost;
  double saves_watts = 0;  ///< less than before it, of all hosts
};

/// What a fleet is like.
struct Figures {
  std::size_t hosts_on = 0;  ///< with a VM at least
  double watts = 0;          ///< of these
  std::uint64_t memory = 0;  ///< bytes, of the VMs on them
  double cpu = 0;            ///< that is used, as a share of what they have
  std::size_t overloaded = 0;
};

struct Plan {
  std::vector<Move> moves;  ///< in the order of their steps
  std::vector<Stuck> stuck;
  Figures before;
  Figures after;
  double seconds = 0;  ///< of all steps
  [[nodiscard]] double bytes() const;
  [[nodiscard]] double joules() const;
};

/// How all VMs get to their targets, and what that costs. No step puts a VM where it does not fit.
[[nodiscard]] Plan make_plan(const Fleet& fleet, std::span<const HostIndex> targets);

}  // namespace placement
