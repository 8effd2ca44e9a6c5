#pragma once

#include <cstdint>

#include "vmm/machine/guest_end.hpp"
#include "vmm/machine/irq_line.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {

/// What a device is handed when it is made: all that it may ask of its machine, from any thread, as
/// long as the machine lives.
class DeviceHost {
 public:
  virtual ~DeviceHost() = default;

  /// The wire to an input of the interrupt controllers.
  [[nodiscard]] virtual IrqLine irq_line(std::uint32_t gsi) = 0;
  /// RAM, for devices that reach it by themselves. What they write they note there.
  [[nodiscard]] virtual GuestMemory& memory() = 0;
  /// RAM has missing pages, which are on their way from elsewhere. None goes missing while a guest
  /// runs.
  [[nodiscard]] virtual bool lacks_pages() const = 0;
  /// An interrupt by message (MSI): the device writes `data` to `address`, both as the guest has
  /// set them. What is no interrupt to the controllers is none.
  virtual void signal_message(std::uint64_t address, std::uint32_t data) = 0;
  /// Before the machine runs: a guest's write of two bytes to `address` counts one up in
  /// `eventfd`, which lives as long as the machine, and reaches no device.
  virtual void note_writes(GuestAddress address, int eventfd) = 0;
  /// Ends the machine. Of several ends the first counts.
  virtual void end(GuestEnd end) = 0;
  /// The guest asked for a reset, which ends the machine; how, its interrupt controllers tell.
  virtual void reset() = 0;
};

}  // namespace vmm
