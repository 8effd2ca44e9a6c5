#include "vmm/boot/memory_map.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vmm/boot/boot_error.hpp"

namespace vmm {

std::uint64_t low_ram_end(const GuestMemory& memory) { return memory.slots().front().size; }

std::vector<MemoryRegion> memory_map(const GuestMemory& memory) {
  std::vector<MemoryRegion> map = {{0, kLowEnd, MemoryType::ram},
                                   {kLowEnd, kHighStart - kLowEnd, MemoryType::reserved},
                                   {kHighStart, low_ram_end(memory) - kHighStart, MemoryType::ram}};
  for (const RamSlot& slot : memory.slots().subspan(1)) {
    map.push_back({slot.base.value, slot.size, MemoryType::ram});
  }
  return map;
}

void require_ram(const GuestMemory& memory, std::uint64_t begin, std::uint64_t end,
                 const std::string& what) {
  const auto map = memory_map(memory);
  const bool inside = std::ranges::any_of(map, [&](const MemoryRegion& region) {
    return region.type == MemoryType::ram && begin >= region.address && end <= region.end();
  });
  if (inside) return;
  if (begin < kHighStart) bad_image(what + " is not in RAM: 0xa0000 to 0xfffff is not");
  if (end <= kHoleStart) {
    bad_image(fmt::format("{} does not fit into {} MiB of RAM: it needs --memory of at least {}M",
                          what, memory.size() / 1_MiB, (end + 1_MiB - 1) / 1_MiB));
  }
  bad_image(what + " is not in RAM, which is below 3 GiB and from 4 GiB on");
}

}  // namespace vmm
