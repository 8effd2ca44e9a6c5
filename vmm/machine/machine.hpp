#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/kvm/dirty_log.hpp"
#include "vmm/kvm/kvm.hpp"
#include "vmm/kvm/kvm_vm.hpp"
#include "vmm/machine/bus.hpp"
#include "vmm/machine/device.hpp"
#include "vmm/machine/device_host.hpp"
#include "vmm/machine/guest_end.hpp"
#include "vmm/machine/guest_time.hpp"
#include "vmm/machine/irq_line.hpp"
#include "vmm/machine/machine_config.hpp"
#include "vmm/machine/machine_state.hpp"
#include "vmm/machine/vcpu.hpp"
#include "vmm/machine/vcpu_state.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/userfault.hpp"
#include "vmm/os/mutex.hpp"

namespace vmm {

/// One virtual machine: RAM, vCPUs, interrupt controllers, timers and devices. Born paused.
/// One thread at a time drives it (whoever holds the unique_ptr); vCPUs run in threads of its own.
class Machine final : public DeviceHost {
 public:
  /// Makes VM, RAM slots, irqchip, PIT and vCPUs as `config` says. A config without CPUID gets the
  /// host's (masked), and one without a TSC frequency the host's.
  /// std::system_error naming the ioctl; std::invalid_argument for a config out of bounds.
  Machine(Kvm kvm, const MachineConfig& config);
  /// The same with RAM that is there already, of as many bytes as `config` says.
  Machine(Kvm kvm, MachineConfig config, GuestMemory memory);
  ~Machine() override;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] const MachineConfig& config() const { return config_; }
  [[nodiscard]] GuestMemory& memory() override { return memory_; }
  [[nodiscard]] DirtyLog& dirty_log() { return dirty_log_; }
  [[nodiscard]] Vcpu& vcpu(std::uint32_t index) { return *vcpus_.at(index); }

  /// Before the first resume only. The device answers on [base, base + length) of the port space,
  /// and is listed in the configuration.
  void attach_ports(std::shared_ptr<Device> device, std::uint16_t base, std::uint16_t length);
  void attach_mmio(std::shared_ptr<Device> device, GuestAddress base, std::uint64_t length);
  /// Null when there is none of that id.
  [[nodiscard]] std::shared_ptr<Device> device(std::string_view id) const;
  [[nodiscard]] std::span<const std::shared_ptr<Device>> devices() const { return devices_; }
  [[nodiscard]] IrqLine irq_line(std::uint32_t gsi) override;
  void signal_message(std::uint64_t address, std::uint32_t data) override;
  void note_writes(GuestAddress address, int eventfd) override;

  /// RAM has missing pages, for which the guest waits by `userfault`; null when all are there. It
  /// is kept, so that no guest ever goes on with a zero page because whoever brings the pages has
  /// ended. A machine that goes does not wait for them, and its vCPUs do nothing more.
  void set_userfault(std::shared_ptr<const Userfault> userfault);
  [[nodiscard]] bool lacks_pages() const override { return lacks_pages_; }

  /// Takes what of the host its devices need alone: Device::acquire(). resume() does that, too.
  void acquire();
  /// By one of its devices: Device::tells_runs().
  [[nodiscard]] bool tells_runs() const;
  /// The opposite, while paused.
  void release();
  /// The devices that have something of the host's, as they said when they were added.
  [[nodiscard]] std::vector<std::shared_ptr<Device>> devices_of_host() const;
  /// Returns when every vCPU runs (or waits in KVM), or when none does any more. Idempotent.
  /// std::system_error when somebody else has what its devices need: it stays paused.
  void resume();
  /// Devices begin no I/O of their own any more, while vCPUs run on: until pause() or end_drain().
  void begin_drain();
  /// Whether none of it is under way any more, by `deadline`.
  [[nodiscard]] bool drained(std::chrono::steady_clock::time_point deadline);
  /// The device that still has some, for people.
  [[nodiscard]] std::string undrained();
  /// While it runs: of one that is paused, devices begin none anyhow.
  [[nodiscard]] bool draining() const { return draining_; }
  void end_drain();
  /// The vCPUs stop, then the devices. While pages are missing, a vCPU that waits for one counts as
  /// paused, and so does a device whose I/O takes long: it does nothing more than finish its
  /// instruction or request, and until then save() is refused.
  void pause();
  [[nodiscard]] bool running() const { return running_; }

  /// Whether the guest, which runs, can be asked which of its pages are free.
  [[nodiscard]] bool tells_free_pages() const;
  /// Device::ask_for_free_pages() and end_free_pages().
  void ask_for_free_pages(FreePageListener& listener);
  void end_free_pages();

  /// Slows the guest: each vCPU runs (100 - percent) % of the time. 0 ends it.
  void throttle(unsigned percent);

  /// While paused; std::logic_error while a vCPU waits for a missing page, and std::runtime_error
  /// while a device has I/O under way. Saving can itself write
  /// guest pages (kvmclock): read the dirty log after it.
  [[nodiscard]] MachineState save();
  using PageWrites = vmm::PageWrites;
  /// Loads a state that `save` made, into a machine of the same config that has not run yet.
  /// std::invalid_argument for a section that is missing, unknown or of a wrong size, by name.
  void load(const MachineState& state, PageWrites writes = PageWrites::at_load);

  /// How long ago the last save() read the guest's clocks.
  [[nodiscard]] std::chrono::nanoseconds since_save() const { return time_.since_save(); }
  /// The clocks of the state that was loaded are so old, at least.
  void saved_before(std::chrono::nanoseconds least) { time_.saved_before(least); }
  /// Once, after load(), before the guest runs: its clocks go on by what is known to have passed
  /// between their being saved and being loaded. (From then on they run by themselves.)
  void catch_up();

  /// The guest's end, once it came. Any thread may end the machine (a device does); the first wins.
  void end(GuestEnd end) override;
  void reset() override;
  [[nodiscard]] std::optional<GuestEnd> ended() const;
  /// Called once, from the thread that ended it; at once when it has already ended. Replaces the
  /// handler that was set before, which is not being called any more on return; null is none. A
  /// handler must not call this machine.
  void on_end(std::function<void()> handler);

 private:
  /// std::invalid_argument when a guest that is not new needs what this host has not.
  void check_needs(bool is_new);
  void set_tsc_frequency();
  void add_device(std::shared_ptr<Device> device);
  void set_page_msrs();
  [[nodiscard]] kvm_ioapic_state ioapic() const;
  [[nodiscard]] kvm_pic_state pic() const;  ///< the first of the two

  Kvm kvm_;
  MachineConfig config_;
  GuestMemory memory_;
  KvmVm vm_;
  DirtyLog dirty_log_;
  Bus ports_;
  Bus mmio_;
  std::shared_ptr<const Userfault> userfault_;
  std::atomic<bool> lacks_pages_{false};  ///< there is a userfault, for the devices' threads
  std::vector<std::shared_ptr<Device>> devices_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::vector<PageMsrs> page_msrs_;  ///< of each vCPU, or none: loaded and not set yet
  GuestTime time_;
  bool running_ = false;
  bool draining_ = false;
  mutable Mutex end_mutex_;
  std::optional<GuestEnd> end_ FERRY_GUARDED_BY(end_mutex_);
  std::function<void()> end_handler_ FERRY_GUARDED_BY(end_mutex_);
};

}  // namespace vmm
