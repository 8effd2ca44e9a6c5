#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry {

// How much memory a process may still take, out of the texts in which Linux says so. Pure.

/// What one limit leaves.
struct MemoryRoom {
  std::string where;  ///< "this host", "the cgroup /sys/fs/cgroup/..."
  std::uint64_t bytes = 0;
  std::uint64_t promised = 0;  ///< of these, to VMs that arrive in other processes
  bool operator==(const MemoryRoom&) const = default;
};

/// A cgroup whose memory is limited, perhaps.
struct MemoryCgroup {
  int version = 2;        ///< 1 or 2: what its files are called
  std::string directory;  ///< where its files are
  bool operator==(const MemoryCgroup&) const = default;
};

/// What the files of a cgroup say (Linux Documentation/admin-guide/cgroup-v2.rst and
/// cgroup-v1/memory.rst). A file that is not there is empty.
struct CgroupMemory {
  std::string limit;  ///< memory.max, or memory.limit_in_bytes
  std::string usage;  ///< memory.current, or memory.usage_in_bytes
  std::string stat;   ///< memory.stat
};

/// From /proc/meminfo: what is available without swapping, and the free swap. nullopt when it does
/// not say.
[[nodiscard]] std::optional<MemoryRoom> host_room(std::string_view meminfo);

/// From /proc/self/cgroup and /proc/self/mountinfo: the cgroups that bound this process' memory,
/// its own first, as far up as they are mounted here.
[[nodiscard]] std::vector<MemoryCgroup> memory_cgroups(std::string_view cgroup,
                                                       std::string_view mountinfo);

/// The limit minus the usage, of which page cache that nobody needs does not count: it makes room.
/// nullopt without a limit.
[[nodiscard]] std::optional<MemoryRoom> cgroup_room(const MemoryCgroup& cgroup,
                                                    const CgroupMemory& memory);

/// Why `needed` bytes are too many; nullopt when they are not. It names the least room: what is not
/// promised to others counts.
[[nodiscard]] std::optional<std::string> room_refusal(std::uint64_t needed,
                                                      std::span<const MemoryRoom> rooms);

}  // namespace ferry
