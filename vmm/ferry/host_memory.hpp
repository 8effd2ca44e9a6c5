#pragma once

#include <cstdint>

namespace ferry {

/// Throws Failure when the host can never give a guest so much RAM.
void check_host_memory(std::uint64_t bytes);

}  // namespace ferry
