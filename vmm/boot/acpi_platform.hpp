#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace vmm {

/// A device that a guest's operating system finds through ACPI, on ports and at most one interrupt.
struct AcpiDevice {
  std::string_view name;         ///< four characters, unique among the devices
  std::string_view hardware_id;  ///< "PNP0501", or eight characters: "QEMU0001"
  std::uint16_t ports = 0;       ///< the first of them
  std::uint8_t port_count = 0;
  std::uint8_t irq = 0;  ///< edge-triggered GSI; 0: none
};

/// Guest physical addresses.
struct AcpiWindow {
  std::uint64_t base = 0;
  std::uint64_t bytes = 0;
};

/// What of the machine's devices is in its ACPI tables.
struct AcpiPlatform {
  std::uint16_t pm_event_ports = 0;    ///< PM1 event block, four ports
  std::uint16_t pm_control_ports = 0;  ///< PM1 control block, two ports
  std::uint8_t soft_off = 0;           ///< sleep type that powers off
  std::uint8_t sci = 0;                ///< interrupt of the PM events
  std::uint16_t reset_port = 0;
  std::uint8_t reset_value = 0;
  std::uint8_t century = 0;              ///< register of the CMOS clock
  std::optional<AcpiWindow> pci_window;  ///< the memory of PCI bus 0; none: no bus is told of
  std::vector<AcpiDevice> devices;
};

}  // namespace vmm
