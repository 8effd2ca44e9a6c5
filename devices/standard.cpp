#include "devices/standard.hpp"

#include <utility>

#include "devices/exit_port.hpp"
#include "devices/i8042.hpp"
#include "devices/serial_registers.hpp"

namespace devices {

namespace {

constexpr std::uint16_t kSerialBase = 0x3f8;
constexpr std::uint32_t kSerialIrq = 4;
constexpr std::uint16_t kExitPort = 0xf4;
constexpr std::uint16_t kI8042Base = 0x60;
constexpr std::uint16_t kI8042Ports = 5;

}  // namespace

std::shared_ptr<Serial> attach_standard_devices(vmm::Machine& machine) {
  const auto end = [&machine](vmm::GuestEnd how) { machine.end(std::move(how)); };
  auto serial = std::make_shared<Serial>("serial0", machine.irq_line(kSerialIrq));
  machine.attach_ports(serial, kSerialBase, kSerialRegisters);
  machine.attach_ports(std::make_shared<ExitPort>(end), kExitPort, 1);
  machine.attach_ports(std::make_shared<I8042>(end), kI8042Base, kI8042Ports);
  return serial;
}

}  // namespace devices
