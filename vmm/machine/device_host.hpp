#pragma once

#include <cstdint>

#include "vmm/machine/guest_end.hpp"
#include "vmm/machine/irq_line.hpp"

namespace vmm {

/// What a device is handed when it is made: all that it may ask of its machine, from any thread, as
/// long as the machine lives.
///
/// Here is the place for what no device needs yet: RAM for DMA, whose writes are noted for the
/// dirty log (as GuestMemory::write does), interrupts by message (MSI), and a thread for I/O off
/// the vCPUs, which is quiet after Device::pause().
class DeviceHost {
 public:
  virtual ~DeviceHost() = default;

  /// The wire to an input of the interrupt controllers.
  [[nodiscard]] virtual IrqLine irq_line(std::uint32_t gsi) = 0;
  /// Ends the machine. Of several ends the first counts.
  virtual void end(GuestEnd end) = 0;
  /// The guest asked for a reset, which ends the machine; how, its interrupt controllers tell.
  virtual void reset() = 0;
};

}  // namespace vmm
