#pragma once

#include <cstdint>

#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// CPU time of this process so far, all threads (vCPUs too), user and system.
[[nodiscard]] double cpu_seconds();
/// The memory that this process has resident now, guest RAM included.
[[nodiscard]] std::uint64_t resident_bytes();
/// The same, or what RAM has in its file if that is more: of a file that another process has filled
/// nothing is resident here before it is touched.
[[nodiscard]] std::uint64_t resident_bytes(const vmm::GuestMemory& memory);
/// The most memory that this process ever had resident, guest RAM included.
[[nodiscard]] std::uint64_t peak_rss_bytes();

}  // namespace migration
