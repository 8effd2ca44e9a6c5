#pragma once

#include <memory>
#include <string>
#include <vector>

#include "devices/serial.hpp"
#include "devices/virtio/virtio_device.hpp"
#include "vmm/boot/acpi_platform.hpp"
#include "vmm/machine/device_list.hpp"
#include "vmm/machine/machine.hpp"

namespace devices {

/// A device that a machine has beyond the standard ones. Their order is that of their places on the
/// PCI bus.
struct PciDevice {
  std::string id;
  std::shared_ptr<virtio::VirtioDevice> device;
};

/// Random bytes of the host, as "rng0".
[[nodiscard]] PciDevice entropy_device();

/// Gives a machine that has not run what every machine has, and `more`: the serial port (ports
/// 0x3f8 to 0x3ff, IRQ 4), ACPI's power management (0x600), the CMOS clock (0x70), PCI
/// configuration (0xcf8), the exit port (0xf4), the panic port (0x505) and the reset command of the
/// i8042. Returns the serial port, for the host's end of its cable; it is of use as long as the
/// machine lives.
[[nodiscard]] std::shared_ptr<Serial> attach_devices(vmm::Machine& machine,
                                                     const std::vector<PciDevice>& more = {});

/// What a guest of a machine with these devices needs here beyond the standard ones.
/// std::invalid_argument that names a device when it cannot go on here.
[[nodiscard]] std::vector<PciDevice> pci_devices_for(const std::vector<vmm::DeviceVersion>& wanted);

/// The devices as the guest's ACPI tables describe them. `pci`: there is more than the standard
/// ones, for which the guest looks.
[[nodiscard]] vmm::AcpiPlatform platform(bool pci = false);

}  // namespace devices
