#pragma once

#include "vmm/boot/entry.hpp"
#include "vmm/boot/placement.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// Puts an ELF kernel with a PVH note, its start info, memory map, command line and initramfs into
/// fresh RAM (Xen's docs/misc/pvh.pandoc). Throws BootError.
[[nodiscard]] BootEntry place_pvh(GuestMemory& memory, const BootInput& input);

}  // namespace vmm
