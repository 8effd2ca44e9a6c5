#pragma once

#include <memory>
#include <vector>

#include "devices/serial.hpp"
#include "vmm/boot/acpi_platform.hpp"
#include "vmm/machine/device_list.hpp"
#include "vmm/machine/machine.hpp"

namespace devices {

/// Gives a machine that has not run what every machine has: the serial port (ports 0x3f8 to 0x3ff,
/// IRQ 4), ACPI's power management (0x600), the CMOS clock (0x70), PCI configuration (0xcf8), the
/// exit port (0xf4), the panic port (0x505) and the reset command of the i8042. Returns the serial
/// port, for the host's end of its cable; it is of use as long as the machine lives.
[[nodiscard]] std::shared_ptr<Serial> attach_standard_devices(vmm::Machine& machine);

/// Whether a guest of a machine with these devices can go on in one with the standard devices.
/// std::invalid_argument that names a device when it cannot.
void check_devices(const std::vector<vmm::DeviceVersion>& wanted);

/// The same devices as the guest's ACPI tables describe them.
[[nodiscard]] vmm::AcpiPlatform standard_platform();

}  // namespace devices
