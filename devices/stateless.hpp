#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "vmm/machine/device.hpp"

namespace devices {

/// A device that remembers nothing: its saved form is empty, and its place in the machine's state
/// says that it is there.
class Stateless : public vmm::Device {
 public:
  [[nodiscard]] std::uint32_t version() const final { return 1; }
  [[nodiscard]] std::vector<std::byte> save() final { return {}; }
  void load(std::uint32_t saved_version, std::span<const std::byte> bytes) final {
    if (saved_version == version() && bytes.empty()) return;
    throw std::invalid_argument("saved state of " + std::string(id()) + ": must be empty");
  }
};

}  // namespace devices
