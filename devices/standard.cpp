#include "devices/standard.hpp"

#include "devices/exit_port.hpp"
#include "devices/i8042.hpp"

namespace devices {

std::shared_ptr<Serial> attach_standard_devices(vmm::Machine& machine) {
  const EndMachine end = [&machine](vmm::GuestEnd how) { machine.end(std::move(how)); };
  auto serial = std::make_shared<Serial>("serial0", machine.irq_line(4));
  machine.attach_ports(serial, 0x3f8, 8);
  machine.attach_ports(std::make_shared<ExitPort>(end), 0xf4, 1);
  // 0x61 between them is the PIT's, answered in the kernel: it never gets here.
  machine.attach_ports(std::make_shared<I8042>(end), 0x60, 5);
  return serial;
}

}  // namespace devices
