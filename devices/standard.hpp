#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "devices/network_choice.hpp"
#include "devices/serial.hpp"
#include "devices/virtio/balloon.hpp"
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

inline constexpr std::size_t kMaxDiskId = 20;  ///< bytes

/// What a disk's path begins with that is none: a URI follows.
inline constexpr std::string_view kNbdPrefix = "nbd:";

/// A disk, as a machine is given it.
struct DiskChoice {
  std::string id;
  std::filesystem::path path;  ///< on the host, or kNbdPrefix and a URI
  bool read_only = false;
};

/// What a host has for the devices of a machine.
struct HostParts {
  std::vector<DiskChoice> disks;
  std::vector<NetworkChoice> networks;
  /// Is told when the host fails a device. Any thread.
  std::function<void(std::string)> report;
  /// Is told which device is about to be opened.
  std::function<void(std::string)> opens = [](const std::string&) {};
};

/// Random bytes of the host, as "rng0".
[[nodiscard]] PciDevice entropy_device();
/// The memory balloon, as "balloon0".
[[nodiscard]] PciDevice balloon_device(virtio::Balloon::Offers offers);
/// std::system_error or std::invalid_argument when it is not to be had or is no disk; it is not
/// locked yet.
[[nodiscard]] PciDevice disk_device(const DiskChoice& disk,
                                    std::function<void(std::string)> report);

/// Gives a machine that has not run what every machine has, and `more`: the serial port (ports
/// 0x3f8 to 0x3ff, IRQ 4), ACPI's power management (0x600), the CMOS clock (0x70), PCI
/// configuration (0xcf8), the exit port (0xf4), the panic port (0x505) and the reset command of the
/// i8042. Returns the serial port, for the host's end of its cable; it is of use as long as the
/// machine lives.
[[nodiscard]] std::shared_ptr<Serial> attach_devices(vmm::Machine& machine,
                                                     const std::vector<PciDevice>& more = {});

/// The balloon of a machine, which may outlive it; null when it has none.
[[nodiscard]] std::shared_ptr<virtio::Balloon> balloon_of(const vmm::Machine& machine);

/// What a guest of a machine with these devices needs here beyond the standard ones.
/// std::invalid_argument or std::system_error that names a device when it cannot go on here.
/// `parts`: by the ids of the guest's; what is not wanted is left alone.
[[nodiscard]] std::vector<PciDevice> pci_devices_for(const std::vector<vmm::DeviceVersion>& wanted,
                                                     const HostParts& parts = {});

/// The devices as the guest's ACPI tables describe them. `pci`: there is more than the standard
/// ones, for which the guest looks.
[[nodiscard]] vmm::AcpiPlatform platform(bool pci = false);

}  // namespace devices
