#include "vmm/ferry/host_memory.hpp"

#include <fmt/format.h>
#include <sys/sysinfo.h>

#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/units.hpp"

namespace ferry {

void check_host_memory(std::uint64_t bytes) {
  struct sysinfo host {};
  if (::sysinfo(&host) != 0) return;  // then the mapping itself will tell
  const std::uint64_t total = (std::uint64_t{host.totalram} + host.totalswap) * host.mem_unit;
  if (bytes <= total) return;
  throw Failure(ExitStatus::unavailable,
                fmt::format("the guest wants {} of memory and this host has {} in all",
                            format_bytes(bytes), format_bytes(total)));
}

}  // namespace ferry
