#include "devices/standard.hpp"

#include "devices/acpi_pm.hpp"
#include "devices/cmos_clock.hpp"
#include "devices/exit_port.hpp"
#include "devices/i8042.hpp"
#include "devices/panic_port.hpp"
#include "devices/pci_config.hpp"
#include "devices/serial_registers.hpp"

namespace devices {

namespace {

constexpr std::uint16_t kSerialBase = 0x3f8;
constexpr std::uint32_t kSerialIrq = 4;
constexpr std::uint16_t kExitPort = 0xf4;
constexpr std::uint16_t kI8042Base = 0x60;
constexpr std::uint16_t kI8042Ports = 5;
constexpr std::uint16_t kPanicPort = 0x505;
constexpr std::uint16_t kAcpiPmBase = 0x600;
constexpr std::uint8_t kAcpiSci = 9;

}  // namespace

std::shared_ptr<Serial> attach_standard_devices(vmm::Machine& machine) {
  auto serial = std::make_shared<Serial>("serial0", machine, kSerialIrq);
  machine.attach_ports(serial, kSerialBase, kSerialRegisters);
  machine.attach_ports(std::make_shared<ExitPort>(machine), kExitPort, 1);
  machine.attach_ports(std::make_shared<I8042>(machine), kI8042Base, kI8042Ports);
  machine.attach_ports(std::make_shared<CmosClock>(), CmosClock::kBase, CmosClock::kPorts);
  machine.attach_ports(std::make_shared<PciConfig>(machine), PciConfig::kBase, PciConfig::kPorts);
  machine.attach_ports(std::make_shared<PanicPort>(machine), kPanicPort, 1);
  machine.attach_ports(std::make_shared<AcpiPm>(machine), kAcpiPmBase, AcpiPm::kPorts);
  return serial;
}

vmm::AcpiPlatform standard_platform() {
  return {.pm_event_ports = kAcpiPmBase + AcpiPm::kEventOffset,
          .pm_control_ports = kAcpiPmBase + AcpiPm::kControlOffset,
          .soft_off = AcpiPm::kSoftOff,
          .sci = kAcpiSci,
          .reset_port = kAcpiPmBase + AcpiPm::kResetOffset,
          .reset_value = AcpiPm::kReset,
          .century = CmosClock::kCentury,
          .devices = {{"COM1", "PNP0501", kSerialBase, kSerialRegisters, kSerialIrq},
                      {"PEVT", "QEMU0001", kPanicPort, 1, 0}}};
}

}  // namespace devices
