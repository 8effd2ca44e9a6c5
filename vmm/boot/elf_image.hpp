#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/memory/guest_address.hpp"

namespace vmm {

/// A part of a kernel: `file` bytes at `address`, and zeros behind them up to `size`.
struct ElfSegment {
  GuestAddress address;
  std::uint64_t size = 0;
  std::span<const std::byte> file;
};

/// What a PVH boot needs of an ELF file; views into the bytes that were parsed.
struct ElfImage {
  std::uint32_t pvh_entry = 0;  ///< guest physical, 32-bit protected mode
  std::vector<ElfSegment> segments;
};

/// Reads a 64-bit x86 ELF with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY, Xen's
/// docs/misc/pvh.pandoc). BootError (bad_image) says what is wrong; segments do not overlap, and
/// the entry lies in one of them.
[[nodiscard]] ElfImage parse_elf(std::span<const std::byte> file);

}  // namespace vmm
