#include "vmm/kvm/memory_slots.hpp"

#include <algorithm>

namespace vmm {

namespace {

constexpr std::uint64_t kMostBytes = 4_GiB;

}  // namespace

std::vector<RamSlot> memory_slots(const GuestMemory& memory) {
  std::vector<RamSlot> slots;
  for (const RamSlot& ram : memory.slots()) {
    for (std::uint64_t from = 0; from < ram.size; from += kMostBytes) {
      slots.push_back({GuestAddress{ram.base.value + from}, ram.ram_offset + from,
                       std::min(kMostBytes, ram.size - from)});
    }
  }
  return slots;
}

}  // namespace vmm
