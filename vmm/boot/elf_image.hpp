#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/memory/guest_address.hpp"

namespace vmm {

/// A part of a kernel: `file` at `address`, and zeros behind it up to `size` bytes.
struct ElfSegment {
  GuestAddress address;
  std::uint64_t size = 0;  ///< bytes; at least 1, and address + size does not overflow
  std::span<const std::byte> file;

  [[nodiscard]] std::uint64_t end() const { return address.value + size; }
};

/// What a PVH boot needs of an ELF file; views into the bytes that were parsed.
struct ElfImage {
  std::uint32_t pvh_entry = 0;       ///< guest physical, 32-bit protected mode
  std::vector<ElfSegment> segments;  ///< sorted by address
  bool linux = false;                ///< it says so
};

/// Reads an x86 ELF file, of 64 or 32 bits, with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY, Xen's
/// docs/misc/pvh.pandoc). BootError (bad_image) says what is wrong with it; segments do not
/// overlap, and the entry lies in one of them.
[[nodiscard]] ElfImage parse_elf(std::span<const std::byte> file);

}  // namespace vmm
