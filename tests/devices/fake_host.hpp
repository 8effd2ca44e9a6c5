#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "vmm/machine/device_host.hpp"

namespace devices {

/// A machine that notes what its devices ask of it.
struct FakeHost final : vmm::DeviceHost {
  std::vector<vmm::GuestEnd> ends;
  int resets = 0;
  std::vector<bool> levels;  ///< of all interrupt lines, in order

  vmm::IrqLine irq_line(std::uint32_t /*gsi*/) override {
    return vmm::IrqLine([this](bool high) { levels.push_back(high); });
  }
  void end(vmm::GuestEnd end) override { ends.push_back(std::move(end)); }
  void reset() override { ++resets; }
};

}  // namespace devices
