#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "devices/pci/pci_function.hpp"
#include "vmm/memory/guest_address.hpp"

namespace devices {

/// PCI bus 0. Its devices have one function each. Filled before the machine first runs and not
/// changed after, so that vCPUs look things up without a lock.
class PciBus {
 public:
  static constexpr std::size_t kSlots = 32;
  /// The guest's memory addresses of all devices, in the hole under 4 GiB. None ever moves.
  static constexpr vmm::GuestAddress kWindow{0xd0000000};
  static constexpr std::uint64_t kWindowBytes = 0x10000000;
  /// What one device has of it.
  static constexpr std::uint64_t kBarBytes = 0x8000;

  /// In slot 0 is a host bridge.
  PciBus();

  /// The next free slot; std::invalid_argument when there is none.
  [[nodiscard]] std::size_t free_slot() const;
  [[nodiscard]] static vmm::GuestAddress bar_of(std::size_t slot);
  void attach(std::size_t slot, std::shared_ptr<PciFunction> function);
  /// Null where there is none.
  [[nodiscard]] PciFunction* at(std::size_t slot) const { return functions_.at(slot).get(); }

 private:
  std::array<std::shared_ptr<PciFunction>, kSlots> functions_;
};

}  // namespace devices
