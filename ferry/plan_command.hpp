#pragma once

#include "ferry/command_line.hpp"

namespace ferry {

/// `ferry plan`: becomes the planner, a program of its own, so that a process with a VM has none of
/// it. Throws Failure when that is not there.
[[nodiscard]] int plan(const PlanCommand& command);

}  // namespace ferry
