#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// Low memory as PC guests expect it: usable below the place of the extended BIOS data area, and
/// nothing between there and 1 MiB, where only firmware tables are.
inline constexpr std::uint64_t kLowEnd = 0x9fc00;
inline constexpr std::uint64_t kHighStart = 0x100000;

/// The numbers are those of the BIOS call E820, which both boot protocols use.
enum class MemoryType : std::uint32_t { ram = 1, reserved = 2 };

struct MemoryRegion {
  std::uint64_t address = 0;
  std::uint64_t size = 0;  ///< bytes
  MemoryType type = MemoryType::ram;

  [[nodiscard]] std::uint64_t end() const { return address + size; }
};

/// What the guest is told of its address space: sorted, disjoint.
[[nodiscard]] std::vector<MemoryRegion> memory_map(const GuestMemory& memory);

/// Where the RAM below the hole under 4 GiB ends.
[[nodiscard]] std::uint64_t low_ram_end(const GuestMemory& memory);

/// BootError unless [begin, end) is usable RAM, saying how much --memory it needs if more of it
/// would help. `what` is the sentence's subject.
void require_ram(const GuestMemory& memory, std::uint64_t begin, std::uint64_t end,
                 const std::string& what);

}  // namespace vmm
