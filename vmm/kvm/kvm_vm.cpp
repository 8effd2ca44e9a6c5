#include "vmm/kvm/kvm_vm.hpp"

#include "vmm/os/ioctl.hpp"

namespace vmm {

int KvmVm::check_extension(int capability) const {
  return checked_ioctl(fd_.get(), KVM_CHECK_EXTENSION, capability, "KVM_CHECK_EXTENSION");
}

void KvmVm::enable_cap(std::uint32_t capability, std::uint64_t argument) const {
  kvm_enable_cap cap{};
  cap.cap = capability;
  cap.args[0] = argument;
  checked_ioctl(fd_.get(), KVM_ENABLE_CAP, &cap, "KVM_ENABLE_CAP");
}

void KvmVm::set_tss_addr(std::uint32_t address) const {
  checked_ioctl(fd_.get(), KVM_SET_TSS_ADDR, static_cast<unsigned long>(address),
                "KVM_SET_TSS_ADDR");
}

void KvmVm::set_identity_map_addr(std::uint64_t address) const {
  checked_ioctl(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &address, "KVM_SET_IDENTITY_MAP_ADDR");
}

void KvmVm::create_irqchip() const {
  checked_ioctl(fd_.get(), KVM_CREATE_IRQCHIP, 0, "KVM_CREATE_IRQCHIP");
}

void KvmVm::create_pit2() const {
  kvm_pit_config config{};
  // Port 0x61 is answered in the kernel too: guests calibrate clocks against it.
  config.flags = KVM_PIT_SPEAKER_DUMMY;
  checked_ioctl(fd_.get(), KVM_CREATE_PIT2, &config, "KVM_CREATE_PIT2");
}

UniqueFd KvmVm::create_vcpu(std::uint32_t id) const {
  return UniqueFd(
      checked_ioctl(fd_.get(), KVM_CREATE_VCPU, static_cast<unsigned long>(id), "KVM_CREATE_VCPU"));
}

void KvmVm::set_user_memory_region(std::uint32_t slot, std::uint32_t flags, GuestAddress base,
                                   std::span<std::byte> host) const {
  kvm_userspace_memory_region region{};
  region.slot = slot;
  region.flags = flags;
  region.guest_phys_addr = base.value;
  region.memory_size = host.size();
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(host.data());
  checked_ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
}

void KvmVm::get_dirty_log(std::uint32_t slot, std::span<std::uint64_t> bits) const {
  kvm_dirty_log log{};
  log.slot = slot;
  log.dirty_bitmap = bits.data();
  checked_ioctl(fd_.get(), KVM_GET_DIRTY_LOG, &log, "KVM_GET_DIRTY_LOG");
}

void KvmVm::clear_dirty_log(std::uint32_t slot, std::uint64_t first, std::uint64_t pages,
                            std::span<const std::uint64_t> bits) const {
  kvm_clear_dirty_log log{};
  log.slot = slot;
  log.first_page = first;
  log.num_pages = static_cast<std::uint32_t>(pages);
  // The kernel only reads it.
  log.dirty_bitmap = const_cast<std::uint64_t*>(bits.data());
  checked_ioctl(fd_.get(), KVM_CLEAR_DIRTY_LOG, &log, "KVM_CLEAR_DIRTY_LOG");
}

void KvmVm::set_irq_level(std::uint32_t gsi, bool high) const {
  kvm_irq_level level{};
  level.irq = gsi;
  level.level = high ? 1 : 0;
  checked_ioctl(fd_.get(), KVM_IRQ_LINE, &level, "KVM_IRQ_LINE");
}

void KvmVm::signal_msi(std::uint64_t address, std::uint32_t data) const {
  kvm_msi message{};
  message.address_lo = static_cast<std::uint32_t>(address);
  message.address_hi = static_cast<std::uint32_t>(address >> 32);
  message.data = data;
  static_cast<void>(::ioctl(fd_.get(), KVM_SIGNAL_MSI, &message));
}

void KvmVm::add_ioeventfd(GuestAddress address, std::uint32_t length, int eventfd) const {
  kvm_ioeventfd event{};
  event.addr = address.value;
  event.len = length;
  event.fd = eventfd;
  checked_ioctl(fd_.get(), KVM_IOEVENTFD, &event, "KVM_IOEVENTFD");
}

kvm_irqchip KvmVm::get_irqchip(std::uint32_t chip) const {
  kvm_irqchip state{};
  state.chip_id = chip;
  checked_ioctl(fd_.get(), KVM_GET_IRQCHIP, &state, "KVM_GET_IRQCHIP");
  return state;
}

void KvmVm::set_irqchip(const kvm_irqchip& chip) const {
  checked_ioctl(fd_.get(), KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
}

kvm_pit_state2 KvmVm::get_pit2() const {
  kvm_pit_state2 state{};
  checked_ioctl(fd_.get(), KVM_GET_PIT2, &state, "KVM_GET_PIT2");
  return state;
}

void KvmVm::set_pit2(const kvm_pit_state2& state) const {
  checked_ioctl(fd_.get(), KVM_SET_PIT2, &state, "KVM_SET_PIT2");
}

kvm_clock_data KvmVm::get_clock() const {
  kvm_clock_data clock{};
  checked_ioctl(fd_.get(), KVM_GET_CLOCK, &clock, "KVM_GET_CLOCK");
  return clock;
}

void KvmVm::set_clock(const kvm_clock_data& clock) const {
  checked_ioctl(fd_.get(), KVM_SET_CLOCK, &clock, "KVM_SET_CLOCK");
}

}  // namespace vmm
