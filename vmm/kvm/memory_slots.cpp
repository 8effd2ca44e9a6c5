#include "vmm/kvm/memory_slots.hpp"

#include <algorithm>

namespace vmm {

namespace {

constexpr std::uint64_t kLeastBytes = 4_GiB;
/// Each call about a slot may make every vCPU leave the guest.
constexpr std::uint64_t kSlotsOfMuchRam = 64;

}  // namespace

std::vector<RamSlot> memory_slots(const GuestMemory& memory) {
  const std::uint64_t units = memory.size() / kSlotsOfMuchRam / kLeastBytes;
  const std::uint64_t most = std::max<std::uint64_t>(units, 1) * kLeastBytes;
  std::vector<RamSlot> slots;
  for (const RamSlot& ram : memory.slots()) {
    for (std::uint64_t from = 0; from < ram.size; from += most) {
      slots.push_back({GuestAddress{ram.base.value + from}, ram.ram_offset + from,
                       std::min(most, ram.size - from)});
    }
  }
  return slots;
}

}  // namespace vmm
