#pragma once

#include <vector>

#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// RAM as KVM is told of it, each of these one slot with its place here as its number. KVM tells
/// and keeps the dirty log of a whole slot: of at most 4 GiB, or a 64th of RAM, so that those that
/// nobody ever touched can be left alone.
[[nodiscard]] std::vector<RamSlot> memory_slots(const GuestMemory& memory);

}  // namespace vmm
