#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/kvm/kvm.hpp"
#include "vmm/memory/guest_address.hpp"
#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// The VM level of the KVM API: a method per ioctl, no policy. A failure throws std::system_error
/// that names the ioctl.
class KvmVm {
 public:
  explicit KvmVm(const Kvm& kvm) : fd_(kvm.create_vm()) {}

  [[nodiscard]] int check_extension(int capability) const;
  void enable_cap(std::uint32_t capability, std::uint64_t argument) const;

  void set_tss_addr(std::uint32_t address) const;
  void set_identity_map_addr(std::uint64_t address) const;
  void create_irqchip() const;
  void create_pit2() const;
  [[nodiscard]] UniqueFd create_vcpu(std::uint32_t id) const;

  /// Empty `host` removes the slot.
  void set_user_memory_region(std::uint32_t slot, std::uint32_t flags, GuestAddress base,
                              std::span<std::byte> host) const;
  /// A bit a page of the slot, in whole words.
  void get_dirty_log(std::uint32_t slot, std::span<std::uint64_t> bits) const;
  /// `first` is a multiple of 64 pages into the slot; `pages` is one too, or reaches its end.
  void clear_dirty_log(std::uint32_t slot, std::uint64_t first, std::uint64_t pages,
                       std::span<const std::uint64_t> bits) const;

  void set_irq_level(std::uint32_t gsi, bool high) const;
  /// A guest may have set any address and data: those that are no interrupt go nowhere.
  void signal_msi(std::uint64_t address, std::uint32_t data) const;
  /// A write of so many bytes there counts one up in `eventfd`, and does not return from KVM_RUN.
  void add_ioeventfd(GuestAddress address, std::uint32_t length, int eventfd) const;

  /// Chip 0 and 1 are the PICs, 2 is the IOAPIC.
  [[nodiscard]] kvm_irqchip get_irqchip(std::uint32_t chip) const;
  void set_irqchip(const kvm_irqchip& chip) const;
  [[nodiscard]] kvm_pit_state2 get_pit2() const;
  void set_pit2(const kvm_pit_state2& state) const;
  [[nodiscard]] kvm_clock_data get_clock() const;
  void set_clock(const kvm_clock_data& clock) const;

 private:
  UniqueFd fd_;
};

}  // namespace vmm
