#include "vmm/ferry/vm_commands.hpp"

#include <filesystem>
#include <memory>
#include <utility>

#include "devices/standard.hpp"
#include "migration/reuse/image_store.hpp"
#include "vmm/boot/boot.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/host_memory.hpp"
#include "vmm/ferry/say.hpp"
#include "vmm/ferry/session.hpp"

namespace ferry {

namespace {

/// The store of a process. It outlives the VM: RAM that was an image is given back when both are
/// done with it.
class StoreOfProcess {
 public:
  explicit StoreOfProcess(const ImageStoreChoice& choice) {
    if (choice.directory.empty()) return;
    try {
      store_ = std::make_shared<migration::ImageStore>(choice.directory, choice.limit, say);
    } catch (const std::exception& error) {
      throw Failure(ExitStatus::no_permission, error.what());
    }
  }
  ~StoreOfProcess() {
    try {
      if (store_) store_->tidy();
    } catch (const std::exception& error) {
      say(error.what());
    }
  }
  StoreOfProcess(const StoreOfProcess&) = delete;
  StoreOfProcess& operator=(const StoreOfProcess&) = delete;

  [[nodiscard]] const std::shared_ptr<migration::ImageStore>& get() const { return store_; }
  [[nodiscard]] vmm::GuestMemory make_ram(std::uint64_t bytes) const {
    if (!store_ || !store_->can_hold_ram()) return vmm::GuestMemory(bytes);
    if (!store_->has_room(bytes)) {
      say("the image store has no room for the VM's RAM, which is anonymous memory therefore: it "
          "will be copied when an image is kept");
      return vmm::GuestMemory(bytes);
    }
    return {bytes, store_->make_ram(bytes)};
  }

 private:
  std::shared_ptr<migration::ImageStore> store_;
};

}  // namespace

int run(const RunCommand& command) {
  vmm::Kvm kvm;
  check_host_memory(command.memory_bytes);
  vmm::MachineConfig config;
  config.id = vmm::make_uuid();
  config.name = command.name.empty() ? std::filesystem::path(command.kernel).filename().string()
                                     : command.name;
  config.memory_bytes = command.memory_bytes;
  config.cpus = command.cpus;
  const StoreOfProcess store(command.images);
  Session session({command.serial, command.api_socket, store.get()});
  std::unique_ptr<vmm::Machine> machine;
  try {
    vmm::GuestMemory ram = store.make_ram(config.memory_bytes);
    machine = std::make_unique<vmm::Machine>(std::move(kvm), std::move(config), std::move(ram));
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
  const StoreOfProcess store(command.images);
  Session session({command.serial, command.api_socket, store.get()});
  session.receive({command.listen,
                   std::chrono::duration_cast<std::chrono::milliseconds>(command.timeout),
                   store.get(), command.tracking});
  return session.run();
}

}  // namespace ferry
