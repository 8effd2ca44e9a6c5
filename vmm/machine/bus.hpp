#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "vmm/machine/device.hpp"

namespace vmm {

/// Finds the device behind an address: port space and MMIO are one bus each. Filled before the
/// machine first runs and not changed after, so that vCPUs look things up without a lock.
class Bus {
 public:
  /// Throws std::invalid_argument when the range is empty or taken.
  void attach(std::shared_ptr<Device> device, std::uint64_t base, std::uint64_t length);

  /// Where nobody answers, all bits read as one and writes go nowhere, as on hardware.
  void read(std::uint64_t address, std::span<std::byte> data) const;
  void write(std::uint64_t address, std::span<const std::byte> data) const;

 private:
  struct Range {
    std::uint64_t base;
    std::uint64_t length;
    std::shared_ptr<Device> device;
  };
  [[nodiscard]] const Range* find(std::uint64_t address, std::size_t size) const;

  std::vector<Range> ranges_;  ///< sorted by base, disjoint
};

}  // namespace vmm
