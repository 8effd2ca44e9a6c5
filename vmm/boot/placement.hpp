#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "vmm/boot/image_file.hpp"
#include "vmm/boot/initramfs.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {

// What the boot protocols hand over lies in pages that no kernel is linked to; a kernel copies it
// before it uses low memory for itself.
inline constexpr std::uint64_t kBootInfoAt = 0x6000;  ///< PVH start info, or Linux's zero page
inline constexpr std::uint64_t kCmdlineAt = 0x7000;
inline constexpr std::uint64_t kCmdlineEnd = 0x9000;
inline constexpr std::uint64_t kGdtAt = 0x9000;
inline constexpr std::uint16_t kGdtBytes = 48;
inline constexpr std::uint64_t kPageTablesAt = 0xa000;  ///< six pages

/// All that a kernel is booted with.
struct BootInput {
  const ImageFile& kernel;
  const Initramfs& initramfs;
  const std::string& cmdline;
  std::uint64_t rsdp;  ///< guest physical, of the ACPI tables
};

struct PlacedFile {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};

template <typename Struct>
void put(GuestMemory& memory, std::uint64_t address, const Struct& value) {
  std::memcpy(memory.at(GuestAddress{address}, sizeof(value)).data(), &value, sizeof(value));
}

/// As high in low RAM as it goes, out of the way of a kernel that grows from below: behind
/// `kernel_end`, and with its last byte at `highest` or below. BootError if it does not fit.
[[nodiscard]] PlacedFile place_initramfs(GuestMemory& memory, const Initramfs& initramfs,
                                         std::uint64_t kernel_end, std::uint64_t highest);

/// At kCmdlineAt, with its final zero. BootError if it has more than `most` bytes, which are what
/// the kernel takes.
void place_cmdline(GuestMemory& memory, const std::string& cmdline, std::uint64_t most);

}  // namespace vmm
