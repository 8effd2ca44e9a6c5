#include "vmm/machine/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>

#include "vmm/kvm/memory_slots.hpp"
#include "vmm/machine/cpuid.hpp"
#include "vmm/machine/host_fit.hpp"
#include "vmm/machine/reset.hpp"
#include "vmm/machine/vcpu_state.hpp"

namespace vmm {

namespace {

// Three pages for the TSS and one for the identity map, which Intel's KVM wants inside the guest's
// address space: in the hole under 4 GiB, below the BIOS area.
constexpr std::uint32_t kTssAddress = 0xfffbd000;
constexpr std::uint64_t kIdentityMapAddress = 0xfffbc000;

/// While pages are missing, a vCPU that is not back after this is taken to wait for one, and a
/// device always to wait for its host. A wrong guess harms nothing.
constexpr std::chrono::milliseconds kPageWait{100};

MachineConfig checked(MachineConfig config, const GuestMemory& memory) {
  if (config.cpus < 1 || config.cpus > kMaxCpus) {
    throw std::invalid_argument(fmt::format("{} vCPUs: needs 1 to {}", config.cpus, kMaxCpus));
  }
  if (config.memory_bytes != memory.size()) {
    throw std::invalid_argument(
        fmt::format("RAM of {} bytes for a machine with {}", memory.size(), config.memory_bytes));
  }
  return config;
}

}  // namespace

Machine::Machine(Kvm kvm, const MachineConfig& config)
    : Machine(std::move(kvm), config, GuestMemory(config.memory_bytes)) {}

Machine::Machine(Kvm kvm, MachineConfig config, GuestMemory memory)
    : kvm_(std::move(kvm)),
      config_(checked(std::move(config), memory)),
      memory_(std::move(memory)),
      vm_(kvm_),
      dirty_log_(vm_, memory_) {
  config_.devices.clear();  // those of the machine that the guest comes from
  vm_.set_identity_map_addr(kIdentityMapAddress);
  vm_.set_tss_addr(kTssAddress);
  // Without these, saved events cannot tell a pending exception from an injected one, nor carry its
  // payload or a pending triple fault.
  for (const int cap : {KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_TRIPLE_FAULT_EVENT}) {
    if (vm_.check_extension(cap) != 0) vm_.enable_cap(static_cast<std::uint32_t>(cap), 1);
  }
  // Slots before interrupt controllers and timers: these leave RCU work behind, for which a slot
  // that is made right after them waits 5 to 8 ms.
  std::uint32_t slot = 0;
  for (const RamSlot& ram : memory_slots(memory_)) {
    vm_.set_user_memory_region(slot++, 0, ram.base, memory_.pages(ram.pages()));
  }
  vm_.create_irqchip();
  vm_.create_pit2();

  const std::vector<kvm_cpuid_entry2> host = host_cpuid(kvm_);
  const bool is_new = config_.cpuid.empty();
  if (is_new) {
    config_.cpuid = host;
  } else if (const auto misfit = cpuid_misfit(config_.cpuid, host)) {
    throw std::invalid_argument(*misfit);
  }
  for (std::uint32_t i = 0; i < config_.cpus; ++i) {
    vcpus_.push_back(std::make_unique<Vcpu>(
        kvm_, vm_, i,
        Vcpu::Host{ports_, mmio_, [this](GuestEnd end) { this->end(std::move(end)); },
                   [this] { reset(); }, [this] { return linux_has_shut_down(ioapic(), pic()); }}));
    vcpus_.back()->kvm().set_cpuid(cpuid_for_vcpu(config_.cpuid, i, config_.cpus));
  }
  set_tsc_frequency();
  check_needs(is_new);
}

Machine::~Machine() {
  on_end(nullptr);  // one that is being called has returned
  // vCPUs call into the devices, this machine and, when one ends it, each other: all their threads
  // are over before anything that they use goes. Those that wait for a page, and devices that do,
  // are let go on only when nothing that they do has an effect any more.
  for (const auto& vcpu : vcpus_) vcpu->retire();
  for (const auto& device : devices_) device->request_pause();
  if (userfault_) userfault_->unregister(memory_.pages({0, memory_.page_count()}));
  for (const auto& vcpu : vcpus_) vcpu->join();
}

void Machine::check_needs(bool is_new) {
  const KvmVcpu& first = vcpus_.front()->kvm();
  HostNeeds here = needs_of(first, settable_msrs(kvm_, first, config_.needs.msrs));
  if (!is_new) {
    if (const auto misfit = state_misfit(config_, here)) throw std::invalid_argument(*misfit);
    // All of it goes with the guest, so that it can go back to where it came from: what a newer KVM
    // knows besides is nothing that the guest's CPUID shows.
    here.arch_capabilities = config_.needs.arch_capabilities;
    here.event_flags = config_.needs.event_flags;
    std::erase_if(here.msrs, [&came = config_.needs.msrs](std::uint32_t msr) {
      return std::ranges::find(came, msr) == came.end();
    });
  }
  config_.needs = std::move(here);
}

void Machine::set_tsc_frequency() {
  const std::uint32_t host = vcpus_.front()->kvm().tsc_khz();
  if (config_.tsc_khz == 0) config_.tsc_khz = host;
  // Two hosts of one model measure their TSC a little differently; NTP corrects such drift.
  const std::uint32_t tolerance = config_.tsc_khz / 4000;  // 250 ppm, as the kernel's own limit
  if (host + tolerance >= config_.tsc_khz && host <= config_.tsc_khz + tolerance) return;
  if (kvm_.check_extension(KVM_CAP_TSC_CONTROL) == 0) {
    throw std::invalid_argument(
        fmt::format("the guest's TSC runs at {} kHz and this host's at {} kHz, and this host "
                    "cannot scale it",
                    config_.tsc_khz, host));
  }
  for (const auto& vcpu : vcpus_) vcpu->kvm().set_tsc_khz(config_.tsc_khz);
}

void Machine::attach_ports(std::shared_ptr<Device> device, std::uint16_t base,
                           std::uint16_t length) {
  ports_.attach(device, base, length);
  add_device(std::move(device));
}

void Machine::attach_mmio(std::shared_ptr<Device> device, GuestAddress base, std::uint64_t length) {
  mmio_.attach(device, base.value, length);
  add_device(std::move(device));
}

/// A device may answer in several ranges; its state is saved once.
void Machine::add_device(std::shared_ptr<Device> device) {
  for (const auto& known : devices_) {
    if (known == device) return;
    if (known->id() == device->id()) {
      throw std::invalid_argument(fmt::format("two devices have the id {}", device->id()));
    }
  }
  config_.devices.push_back({std::string(device->id()), device->version(), device->host_part()});
  devices_.push_back(std::move(device));
}

std::shared_ptr<Device> Machine::device(std::string_view id) const {
  const auto found =
      std::ranges::find_if(devices_, [id](const auto& device) { return device->id() == id; });
  return found == devices_.end() ? nullptr : *found;
}

IrqLine Machine::irq_line(std::uint32_t gsi) {
  return IrqLine([this, gsi](bool high) { vm_.set_irq_level(gsi, high); });
}

void Machine::signal_message(std::uint64_t address, std::uint32_t data) {
  vm_.signal_msi(address, data);
}

void Machine::note_writes(GuestAddress address, int eventfd) {
  vm_.add_ioeventfd(address, sizeof(std::uint16_t), eventfd);
}

void Machine::set_userfault(std::shared_ptr<const Userfault> userfault) {
  userfault_ = std::move(userfault);
  lacks_pages_ = userfault_ != nullptr;
}

void Machine::acquire() {
  for (const auto& device : devices_) device->acquire();
}

std::vector<std::shared_ptr<Device>> Machine::devices_of_host() const {
  std::vector<std::shared_ptr<Device>> found;
  // As they were added, and not asked again: who has to look at a disk for it may hang.
  for (const DeviceVersion& known : config_.devices) {
    if (!known.host_part.empty()) found.push_back(device(known.id));
  }
  return found;
}

void Machine::release() {
  for (const auto& device : devices_) device->release();
}

bool Machine::tells_runs() const {
  return std::ranges::any_of(devices_, [](const auto& device) { return device->tells_runs(); });
}

void Machine::begin_drain() {
  draining_ = running_;
  for (const auto& device : devices_) device->request_pause();
}

bool Machine::drained(std::chrono::steady_clock::time_point deadline) {
  return std::ranges::all_of(
      devices_, [deadline](const auto& device) { return device->wait_paused(deadline); });
}

std::string Machine::undrained() {
  const auto now = std::chrono::steady_clock::now();
  const auto busy = std::ranges::find_if(
      devices_, [now](const auto& device) { return !device->wait_paused(now); });
  return busy == devices_.end() ? "nothing" : std::string((*busy)->id());
}

void Machine::end_drain() {
  if (!std::exchange(draining_, false) || !running_) return;
  for (const auto& device : devices_) device->resumed();
}

void Machine::resume() {
  if (running_) end_drain();
  if (running_ || ended()) return;
  acquire();
  for (const auto& device : devices_) device->note_run();
  set_page_msrs();
  running_ = true;
  for (const auto& device : devices_) device->resumed();
  for (const auto& vcpu : vcpus_) vcpu->request_resume();
  // The last first: when it runs, so do most of the others, and this thread sleeps once.
  for (auto vcpu = vcpus_.rbegin(); vcpu != vcpus_.rend(); ++vcpu) (*vcpu)->wait_running();
  // One of them may have ended the machine before the next was resumed.
  if (ended()) pause();
}

void Machine::pause() {
  for (const auto& vcpu : vcpus_) vcpu->request_pause();
  const auto deadline = std::chrono::steady_clock::now() + kPageWait;
  for (auto vcpu = vcpus_.rbegin(); vcpu != vcpus_.rend(); ++vcpu) {  // as in resume()
    if (userfault_) {
      static_cast<void>((*vcpu)->wait_paused(deadline));
    } else {
      (*vcpu)->wait_paused();
    }
  }
  if (!std::exchange(running_, false)) return;
  begin_drain();
  static_cast<void>(drained(std::max(deadline, std::chrono::steady_clock::now())));
}

bool Machine::tells_free_pages() const {
  return running_ && std::ranges::any_of(
                         devices_, [](const auto& device) { return device->tells_free_pages(); });
}

void Machine::ask_for_free_pages(FreePageListener& listener) {
  for (const auto& device : devices_) device->ask_for_free_pages(listener);
}

void Machine::end_free_pages() {
  for (const auto& device : devices_) device->end_free_pages();
}

void Machine::throttle(unsigned percent) {
  for (const auto& vcpu : vcpus_) vcpu->throttle(percent);
}

void Machine::end(GuestEnd end) {
  // Under the lock: who has replaced the handler knows that the old one is not being called.
  const Lock lock(end_mutex_);
  if (end_) return;
  end_ = std::move(end);
  for (const auto& vcpu : vcpus_) vcpu->request_pause();
  // Last: whoever hears of it may destroy this machine at once.
  if (end_handler_) end_handler_();
}

void Machine::reset() { end(end_of_reset(ioapic(), pic())); }

kvm_ioapic_state Machine::ioapic() const { return vm_.get_irqchip(KVM_IRQCHIP_IOAPIC).chip.ioapic; }

kvm_pic_state Machine::pic() const { return vm_.get_irqchip(KVM_IRQCHIP_PIC_MASTER).chip.pic; }

std::optional<GuestEnd> Machine::ended() const {
  const Lock lock(end_mutex_);
  return end_;
}

void Machine::on_end(std::function<void()> handler) {
  const Lock lock(end_mutex_);
  end_handler_ = std::move(handler);
  if (end_ && end_handler_) end_handler_();
}

}  // namespace vmm
