#include "vmm/ferry/vm_commands.hpp"

#include <filesystem>
#include <memory>
#include <utility>

#include "devices/standard.hpp"
#include "vmm/boot/boot.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/host_memory.hpp"
#include "vmm/ferry/session.hpp"

namespace ferry {

int run(const RunCommand& command) {
  vmm::Kvm kvm;
  check_host_memory(command.memory_bytes);
  vmm::MachineConfig config;
  config.id = vmm::make_uuid();
  config.name = command.name.empty() ? std::filesystem::path(command.kernel).filename().string()
                                     : command.name;
  config.memory_bytes = command.memory_bytes;
  config.cpus = command.cpus;
  Session session({command.serial, command.api_socket});
  std::unique_ptr<vmm::Machine> machine;
  try {
    machine = std::make_unique<vmm::Machine>(std::move(kvm), std::move(config));
  } catch (const std::invalid_argument& error) {
    throw Failure(ExitStatus::usage, error.what());
  }
  auto serial = devices::attach_standard_devices(*machine);
  vmm::load_kernel(*machine, {command.kernel, command.initramfs, command.cmdline},
                   devices::standard_platform());
  session.start(std::move(machine), std::move(serial));
  return session.run();
}

int receive(const ReceiveCommand& command) {
  // Better now than when a VM is at the door.
  static_cast<void>(vmm::Kvm());
  Session session({command.serial, command.api_socket});
  session.receive(
      {command.listen, std::chrono::duration_cast<std::chrono::milliseconds>(command.timeout)});
  return session.run();
}

}  // namespace ferry
