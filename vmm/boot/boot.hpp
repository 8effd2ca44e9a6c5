#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "vmm/boot/acpi_platform.hpp"
#include "vmm/boot/boot_error.hpp"
#include "vmm/boot/entry.hpp"
#include "vmm/boot/image_file.hpp"
#include "vmm/boot/initramfs.hpp"
#include "vmm/machine/machine.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// What to boot.
struct BootSource {
  std::filesystem::path kernel;                  ///< an ELF kernel with a PVH note, or a bzImage
  std::vector<std::filesystem::path> initramfs;  ///< behind each other; none: none
  std::string cmdline;
};

/// The files of a BootSource, open: whoever writes into one that is a pipe has been waited for.
/// Throws BootError.
struct BootFiles {
  explicit BootFiles(const BootSource& source);

  ImageFile kernel;
  Initramfs initramfs;
  std::string cmdline;
};

/// Puts a kernel and all that it is given into fresh RAM, by the protocol that suits its format:
/// command line, initramfs, memory map, and ACPI tables for `cpus` and `platform`.
/// Throws BootError.
[[nodiscard]] BootEntry place_kernel(GuestMemory& memory, const BootFiles& files,
                                     const AcpiPlatform& platform, std::uint32_t cpus);

/// The same for a machine that has not run, whose vCPU 0 it sets up to enter the kernel.
void load_kernel(Machine& machine, const BootFiles& files, const AcpiPlatform& platform);

}  // namespace vmm
