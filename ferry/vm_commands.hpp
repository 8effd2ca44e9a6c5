#pragma once

#include "ferry/command_line.hpp"

namespace ferry {

// The commands whose process has a VM. Each returns the exit status, or throws Failure, or what the
// VMM throws.

[[nodiscard]] int run(const RunCommand& command);
[[nodiscard]] int receive(const ReceiveCommand& command);

}  // namespace ferry
