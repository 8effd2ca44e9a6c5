#include "devices/standard.hpp"

#include <stdexcept>
#include <string>

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

/// A device and where it answers.
struct OnPorts {
  std::shared_ptr<vmm::Device> device;
  std::uint16_t base;
  std::uint16_t length;
};

struct StandardDevices {
  std::shared_ptr<Serial> serial;
  std::vector<OnPorts> all;  ///< the serial port too
};

StandardDevices make_standard_devices(vmm::DeviceHost& host) {
  auto serial = std::make_shared<Serial>("serial0", host, kSerialIrq);
  return {serial,
          {{serial, kSerialBase, kSerialRegisters},
           {std::make_shared<ExitPort>(host), kExitPort, 1},
           {std::make_shared<I8042>(host), kI8042Base, kI8042Ports},
           {std::make_shared<CmosClock>(), CmosClock::kBase, CmosClock::kPorts},
           {std::make_shared<PciConfig>(host), PciConfig::kBase, PciConfig::kPorts},
           {std::make_shared<PanicPort>(host), kPanicPort, 1},
           {std::make_shared<AcpiPm>(host), kAcpiPmBase, AcpiPm::kPorts}}};
}

/// For devices that are made to be asked for their names alone.
class NoMachine final : public vmm::DeviceHost {
 public:
  vmm::IrqLine irq_line(std::uint32_t /*gsi*/) override { return {}; }
  void end(vmm::GuestEnd /*end*/) override {}
  void reset() override {}
};

}  // namespace

std::shared_ptr<Serial> attach_standard_devices(vmm::Machine& machine) {
  const StandardDevices made = make_standard_devices(machine);
  for (const OnPorts& at : made.all) machine.attach_ports(at.device, at.base, at.length);
  return made.serial;
}

void check_devices(const std::vector<vmm::DeviceVersion>& wanted) {
  NoMachine host;
  std::vector<vmm::DeviceVersion> here;
  for (const OnPorts& at : make_standard_devices(host).all) {
    here.push_back({std::string(at.device->id()), at.device->version()});
  }
  if (const auto unfit = vmm::first_unfit_device(wanted, here)) throw std::invalid_argument(*unfit);
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
