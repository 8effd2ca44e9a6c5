#pragma once

#include <memory>

#include "devices/serial.hpp"
#include "vmm/machine/machine.hpp"

namespace devices {

/// Attaches what every machine has, booted here or arrived: serial port COM1, exit port, i8042.
/// Returns the serial port, for the host's side of it.
std::shared_ptr<Serial> attach_standard_devices(vmm::Machine& machine);

}  // namespace devices
