#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace devices {

/// What PCI's configuration mechanism reaches of a device. Accesses come from vCPU threads, several
/// at a time.
class PciFunction {
 public:
  static constexpr std::size_t kConfigBytes = 256;

  virtual ~PciFunction() = default;

  /// `data` has 1, 2 or 4 bytes, which lie in one double word of the configuration space.
  virtual void read_config(std::uint64_t offset, std::span<std::byte> data) = 0;
  virtual void write_config(std::uint64_t offset, std::span<const std::byte> data) = 0;
};

}  // namespace devices
