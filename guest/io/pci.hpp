#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"

namespace guest {

/// A function of PCI bus 0, whose base addresses the firmware or the VMM has assigned.
class PciFunction {
 public:
  static constexpr int kMostCapabilities = 48;  ///< as many as there is room for

  /// Finds the first function with these numbers; false where there is none.
  bool find(std::uint16_t vendor, std::uint16_t device);

  /// A double word of the configuration space; `offset` is a multiple of 4.
  std::uint32_t read(std::uint32_t offset) const;
  void write(std::uint32_t offset, std::uint32_t value) const;

  std::uint8_t read8(std::uint32_t offset) const;

  /// Lets the function answer at its base addresses and reach the RAM.
  void enable() const;

  /// The offset of the first capability of this kind, or of the next one behind offset `after`;
  /// 0 where there is none.
  std::uint8_t find_capability(std::uint8_t id, std::uint8_t after = 0) const;

  /// Makes `bytes` at `offset` of the memory that base address `bar` tells accessible; returns
  /// where they are, or 0 where there is no such memory.
  std::uint64_t map(std::uint8_t bar, std::uint32_t offset, std::uint32_t bytes,
                    MemoryMap& memory) const;

  /// Has entry 0 of its MSI-X table, the only one that is used, send `vector` to the calling
  /// processor; false where it has no such table.
  bool enable_msix(std::uint8_t vector, MemoryMap& memory) const;

 private:
  std::uint32_t address_ = 0;  // as the address port takes it, without an offset
};

}  // namespace guest
