#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "vmm/boot/boot_error.hpp"
#include "vmm/machine/machine.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// Where a PVH guest begins: with EBX = start_info, in 32-bit protected mode.
struct PvhEntry {
  std::uint32_t entry = 0;
  std::uint32_t start_info = 0;
};

/// Puts an ELF kernel, its start info, memory map, command line and initramfs into fresh RAM.
/// Throws BootError.
[[nodiscard]] PvhEntry place_pvh(GuestMemory& memory, const std::filesystem::path& kernel,
                                 const std::optional<std::filesystem::path>& initramfs,
                                 const std::string& cmdline);

/// The same for a machine that has not run, and sets its vCPU 0 up to enter the kernel by the PVH
/// boot protocol (Xen's docs/misc/pvh.pandoc).
void load_pvh(Machine& machine, const std::filesystem::path& kernel,
              const std::optional<std::filesystem::path>& initramfs, const std::string& cmdline);

}  // namespace vmm
