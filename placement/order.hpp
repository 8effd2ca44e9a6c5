#pragma once

#include <span>
#include <string>
#include <vector>

#include "placement/fleet.hpp"

namespace placement {

/// One VM from one host to another.
struct Leg {
  VmIndex vm = 0;
  HostIndex from = 0;
  HostIndex to = 0;
};

/// A VM that does not get where it should.
struct Stuck {
  VmIndex vm = 0;
  HostIndex at = 0;  ///< where it is in the end
  HostIndex to = 0;
  std::string why;
};

struct Order {
  std::vector<std::vector<Leg>> steps;  ///< one after the other, the moves of a step at once
  std::vector<Stuck> stuck;
};

/// An order of moves in which every VM fits where it goes, at every step, beside all that is still
/// there: what leaves in the same step takes its room until the step has ended. Where VMs wait for
/// each other's room in a circle, one of them waits on a third host, and stays there if its target
/// turns out to have no room. What is stuck in one order goes first in the next, four orders at
/// most.
///
/// Moves share a link only while all of them converge (K < bandwidth / dirty rate), and while that
/// saves time: as long as one makes ready, others send.
[[nodiscard]] Order order_moves(const Fleet& fleet, std::span<const HostIndex> targets);

}  // namespace placement
