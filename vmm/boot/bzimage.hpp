#pragma once

#include <asm/bootparam.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/boot/entry.hpp"
#include "vmm/boot/placement.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// What booting a bzImage needs of the file; `code` views into the bytes that were parsed.
struct BzImage {
  setup_header header{};            ///< as far as the file has it, zeros behind that
  std::span<const std::byte> code;  ///< the protected-mode part, not empty
  std::uint64_t address = 0;        ///< where it runs from, at least kHighStart
  std::uint64_t end = 0;            ///< of the RAM that it takes before it knows the memory map
  std::uint64_t entry = 0;          ///< in long mode, within `code`
};

/// Whether the bytes claim to be a bzImage, sound or not.
[[nodiscard]] bool looks_like_bzimage(std::span<const std::byte> file);

/// Reads a Linux kernel of boot protocol 2.12 or later with a 64-bit entry
/// (Documentation/arch/x86/boot.rst). BootError (bad_image) says what is wrong with it.
[[nodiscard]] BzImage parse_bzimage(std::span<const std::byte> file);

/// Puts it, its zero page, command line and initramfs, and the tables of the processor that its
/// 64-bit entry asks for, into fresh RAM. Throws BootError.
[[nodiscard]] BootEntry place_bzimage(GuestMemory& memory, const BootInput& input);

}  // namespace vmm
