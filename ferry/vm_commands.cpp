#include "ferry/vm_commands.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "devices/networks.hpp"
#include "devices/standard.hpp"
#include "ferry/exit_status.hpp"
#include "ferry/host_memory.hpp"
#include "ferry/say.hpp"
#include "ferry/session.hpp"
#include "ferry/store_of_process.hpp"
#include "ferry/terminal.hpp"
#include "vmm/boot/boot.hpp"
#include "vmm/memory/memory_faults.hpp"
#include "vmm/memory/populated.hpp"

namespace ferry {

namespace {

/// Before there is a VM that is to leave some day. Without it a VM runs well enough.
void open_what_leaving_needs() {
  try {
    vmm::open_page_map();
  } catch (const std::system_error& error) {
    say(fmt::format("a VM that is not in a tmpfs store cannot leave this process: {}",
                    error.what()));
  }
}

void explain_memory_faults() {
  vmm::explain_memory_faults(static_cast<int>(ExitStatus::os_error), give_back_terminal_at_the_end);
}

/// Only RAM in a store shares room with others from the start.
std::shared_ptr<const migration::RoomLedger> ledger_for(const ImageStoreChoice& images) {
  return images.directory.empty() ? nullptr : open_ledger();
}

devices::PciDevice disk_of(const devices::DiskChoice& disk) {
  try {
    return devices::disk_device(disk, say);
  } catch (const std::invalid_argument& error) {
    throw Failure(ExitStatus::no_input, error.what());
  } catch (const std::system_error& error) {
    if (!wrong_path(error.code())) throw;
    throw Failure(ExitStatus::no_input, error.what());
  }
}

devices::PciDevice network_of(const devices::NetworkChoice& network) {
  try {
    return devices::network_device(network, say);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::no_such_device) throw;
    throw Failure(ExitStatus::no_input, error.what());
  }
}

std::vector<devices::PciDevice> pci_devices_of(const RunCommand& command) {
  std::vector<devices::PciDevice> chosen;
  if (command.rng) chosen.push_back(devices::entropy_device());
  if (command.balloon)
    chosen.push_back(devices::balloon_device({.reporting = command.free_page_reporting}));
  for (std::size_t i = 0; i < command.disks.size(); ++i) {
    devices::DiskChoice disk = command.disks[i];
    if (disk.id.empty()) disk.id = fmt::format("disk{}", i);
    chosen.push_back(disk_of(disk));
  }
  for (std::size_t i = 0; i < command.networks.size(); ++i) {
    devices::NetworkChoice network = command.networks[i];
    if (network.id.empty()) network.id = fmt::format("net{}", i);
    chosen.push_back(network_of(network));
  }
  return chosen;
}

std::shared_ptr<devices::Serial> attach(vmm::Machine& machine,
                                        const std::vector<devices::PciDevice>& pci_devices) {
  try {
    return devices::attach_devices(machine, pci_devices);
  } catch (const std::invalid_argument& error) {
    throw Failure(ExitStatus::usage, error.what());
  }
}

}  // namespace

int run(const RunCommand& command) {
  explain_memory_faults();
  vmm::Kvm kvm;
  if (!command.overcommit) check_host_memory(command.memory_bytes);
  open_what_leaving_needs();
  vmm::MachineConfig config;
  config.id = vmm::make_uuid();
  config.name = vmm::sound_name(command.name.empty()
                                    ? std::filesystem::path(command.kernel).filename().string()
                                    : command.name);
  config.memory_bytes = command.memory_bytes;
  config.cpus = command.cpus;
  // Before anybody hears signals: it waits for who writes into a pipe.
  std::optional<vmm::BootFiles> files(
      vmm::BootSource{command.kernel, command.initramfs, command.cmdline});
  const auto pci_devices = pci_devices_of(command);
  const StoreOfProcess store(command.images, ledger_for(command.images));
  Session session({command.serial, command.api_socket, {.image_store = store.get()}});
  std::unique_ptr<vmm::Machine> machine;
  try {
    vmm::GuestMemory ram = command.shared_memory ? vmm::GuestMemory::shared(config.memory_bytes)
                                                 : store.memory_for(config.memory_bytes);
    machine = std::make_unique<vmm::Machine>(std::move(kvm), std::move(config), std::move(ram));
  } catch (const std::invalid_argument& error) {
    throw Failure(ExitStatus::usage, error.what());
  }
  auto serial = attach(*machine, pci_devices);
  machine->acquire();
  vmm::load_kernel(*machine, *files, devices::platform(!pci_devices.empty()));
  files.reset();
  session.start(std::move(machine), std::move(serial));
  return session.run();
}

int receive(const ReceiveCommand& command) {
  explain_memory_faults();
  // Better now than when a VM is at the door.
  static_cast<void>(vmm::Kvm());
  for (devices::DiskChoice disk : command.disks) {
    disk.read_only = true;  // as far as one can tell by now
    static_cast<void>(disk_of(disk));
  }
  for (const auto& network : command.networks) static_cast<void>(network_of(network));
  open_what_leaving_needs();
  const auto ledger = open_ledger();
  const StoreOfProcess store(command.images, ledger);
  Session session({command.serial, command.api_socket, {store.get(), ledger, command.overcommit}});
  session.receive(
      {command.listen, std::chrono::duration_cast<std::chrono::milliseconds>(command.timeout),
       store.get(), command.tracking, command.shared_memory},
      {.disks = command.disks, .networks = command.networks, .report = say});
  return session.run();
}

}  // namespace ferry
