#include "vmm/ferry/host_memory.hpp"

#include <fmt/format.h>
#include <sys/sysinfo.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/memory_room.hpp"
#include "vmm/ferry/units.hpp"

namespace ferry {

namespace {

/// Empty when there is no such file: a limit that cannot be read is none that can be checked.
std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

CgroupMemory read_cgroup(const MemoryCgroup& cgroup) {
  const std::string prefix = cgroup.directory + "/memory.";
  return {text_of(prefix + (cgroup.version == 1 ? "limit_in_bytes" : "max")),
          text_of(prefix + (cgroup.version == 1 ? "usage_in_bytes" : "current")),
          text_of(prefix + "stat")};
}

}  // namespace

void check_host_memory(std::uint64_t bytes) {
  struct sysinfo host {};
  if (::sysinfo(&host) != 0) return;  // then the mapping itself will tell
  const std::uint64_t total = (std::uint64_t{host.totalram} + host.totalswap) * host.mem_unit;
  if (bytes <= total) return;
  throw Failure(ExitStatus::unavailable,
                fmt::format("the guest wants {} of memory and this host has {} in all",
                            format_bytes(bytes), format_bytes(total)));
}

void check_room(std::uint64_t needed) {
  std::vector<MemoryRoom> rooms;
  if (const auto host = host_room(text_of("/proc/meminfo"))) rooms.push_back(*host);
  for (const MemoryCgroup& cgroup :
       memory_cgroups(text_of("/proc/self/cgroup"), text_of("/proc/self/mountinfo"))) {
    if (const auto room = cgroup_room(cgroup, read_cgroup(cgroup))) rooms.push_back(*room);
  }
  if (const auto why = room_refusal(needed, rooms)) throw Failure(ExitStatus::unavailable, *why);
}

}  // namespace ferry
