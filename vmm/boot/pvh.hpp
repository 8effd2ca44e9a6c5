#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "vmm/boot/boot_error.hpp"
#include "vmm/machine/machine.hpp"

namespace vmm {

/// Puts an ELF kernel, its start info, command line and initramfs into the RAM of a machine that has
/// not run, and sets vCPU 0 up to enter it by the PVH boot protocol. Throws BootError.
void load_pvh(Machine& machine, const std::filesystem::path& kernel,
              const std::optional<std::filesystem::path>& initramfs, const std::string& cmdline);

}  // namespace vmm
