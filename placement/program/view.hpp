#pragma once

#include <string>

#include "placement/fleet.hpp"
#include "placement/plan.hpp"
#include "placement/program/apply.hpp"

namespace placement {

// What people are shown.

[[nodiscard]] std::string plan_table(const Fleet& fleet, const Plan& plan);
/// One move, after it was tried.
[[nodiscard]] std::string outcome_line(const Fleet& fleet, const Move& move,
                                       const Outcome& outcome);
/// What stands where after a step failed.
[[nodiscard]] std::string standing(const Fleet& fleet, std::span<const Move> moves,
                                   std::span<const Outcome> outcomes);

}  // namespace placement
