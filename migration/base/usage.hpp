#pragma once

#include <cstdint>

namespace migration {

/// CPU time of this process so far, all threads (vCPUs too), user and system.
[[nodiscard]] double cpu_seconds();
/// The memory that this process has resident now, guest RAM included.
[[nodiscard]] std::uint64_t resident_bytes();
/// The most memory that this process ever had resident, guest RAM included.
[[nodiscard]] std::uint64_t peak_rss_bytes();

}  // namespace migration
