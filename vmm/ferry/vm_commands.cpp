#include "vmm/ferry/vm_commands.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "devices/standard.hpp"
#include "vmm/boot/boot.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/host_memory.hpp"
#include "vmm/ferry/session.hpp"
#include "vmm/ferry/store_of_process.hpp"

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
  // Before anybody hears signals: it waits for who writes into a pipe.
  std::optional<vmm::BootFiles> files(
      vmm::BootSource{command.kernel, command.initramfs, command.cmdline});
  const StoreOfProcess store(command.images);
  Session session({command.serial, command.api_socket, store.get()});
  std::unique_ptr<vmm::Machine> machine;
  try {
    vmm::GuestMemory ram = store.memory_for(config.memory_bytes);
    machine = std::make_unique<vmm::Machine>(std::move(kvm), std::move(config), std::move(ram));
  } catch (const std::invalid_argument& error) {
    throw Failure(ExitStatus::usage, error.what());
  }
  auto serial = devices::attach_standard_devices(*machine);
  vmm::load_kernel(*machine, *files, devices::standard_platform());
  files.reset();
  session.start(std::move(machine), std::move(serial));
  return session.run();
}

int receive(const ReceiveCommand& command) {
  // Better now than when a VM is at the door.
  static_cast<void>(vmm::Kvm());
  const StoreOfProcess store(command.images);
  Session session({command.serial, command.api_socket, store.get()});
  session.receive({command.listen,
                   std::chrono::duration_cast<std::chrono::milliseconds>(command.timeout),
                   store.get(), command.tracking});
  return session.run();
}

}  // namespace ferry
