#pragma once

#include <cstdint>

namespace ferry {

/// Throws Failure when the host can never give a guest so much RAM.
void check_host_memory(std::uint64_t bytes);

/// Throws Failure when this process may not take so many bytes more now, which names the host or
/// the cgroup that has too little, and how much. It promises nothing: others take memory too.
void check_room(std::uint64_t needed);

}  // namespace ferry
