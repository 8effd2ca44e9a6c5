#pragma once

#include <memory>

#include "devices/serial.hpp"
#include "vmm/machine/machine.hpp"

namespace devices {

/// Gives a machine that has not run what every machine has: the serial port (ports 0x3f8 to 0x3ff,
/// IRQ 4), the exit port (0xf4) and the reset command of the i8042. Returns the serial port, for
/// the host's end of its cable; it is of use as long as the machine lives.
[[nodiscard]] std::shared_ptr<Serial> attach_standard_devices(vmm::Machine& machine);

}  // namespace devices
