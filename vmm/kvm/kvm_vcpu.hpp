#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vmm/kvm/kvm.hpp"
#include "vmm/kvm/kvm_vm.hpp"
#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// The vCPU level of the KVM API: a method per ioctl, no policy. A failure throws std::system_error
/// that names the ioctl. One thread at a time.
class KvmVcpu {
 public:
  KvmVcpu(const Kvm& kvm, const KvmVm& vm, std::uint32_t id);
  ~KvmVcpu();
  KvmVcpu(const KvmVcpu&) = delete;
  KvmVcpu& operator=(const KvmVcpu&) = delete;

  /// KVM_RUN. 0, or EINTR (kicked), EAGAIN (woken by a start-up IPI) or EFAULT (the host has no
  /// memory for what the guest touched, at the moment at least): outcomes, not failures.
  int run();
  /// What the kernel shares with this process: exit reason and data.
  [[nodiscard]] kvm_run& shared() { return *run_; }

  [[nodiscard]] kvm_regs regs() const;
  void set_regs(const kvm_regs& regs) const;
  [[nodiscard]] kvm_sregs sregs() const;
  void set_sregs(const kvm_sregs& sregs) const;
  [[nodiscard]] kvm_sregs2 sregs2() const;
  void set_sregs2(const kvm_sregs2& sregs) const;
  /// The XSAVE area, of the size that KVM_CAP_XSAVE2 says.
  [[nodiscard]] std::vector<std::byte> xsave() const;
  [[nodiscard]] std::size_t xsave_size() const { return xsave_size_; }
  void set_xsave(std::span<const std::byte> area) const;
  [[nodiscard]] kvm_xcrs xcrs() const;
  void set_xcrs(const kvm_xcrs& xcrs) const;
  [[nodiscard]] kvm_debugregs debugregs() const;
  void set_debugregs(const kvm_debugregs& debugregs) const;
  [[nodiscard]] kvm_lapic_state lapic() const;
  void set_lapic(const kvm_lapic_state& lapic) const;
  [[nodiscard]] kvm_vcpu_events events() const;
  void set_events(const kvm_vcpu_events& events) const;
  [[nodiscard]] kvm_mp_state mp_state() const;
  void set_mp_state(const kvm_mp_state& state) const;
  void set_cpuid(std::span<const kvm_cpuid_entry2> entries) const;

  /// How many of the MSRs, from the front, could be read or written; a short count is the caller's
  /// to judge.
  std::size_t get_msrs(std::span<kvm_msr_entry> msrs) const;
  std::size_t set_msrs(std::span<const kvm_msr_entry> msrs) const;

  [[nodiscard]] std::uint32_t tsc_khz() const;
  void set_tsc_khz(std::uint32_t khz) const;
  /// What the guest's TSC is ahead of the host's; nullopt where KVM does not tell (before 5.16).
  [[nodiscard]] std::optional<std::uint64_t> tsc_offset() const;
  void set_tsc_offset(std::uint64_t offset) const;
  /// KVM_KVMCLOCK_CTRL: tells the guest that it was stopped. EINVAL (no kvmclock) is ignored.
  void note_stopped() const;

 private:
  UniqueFd fd_;
  std::size_t mmap_size_;
  std::size_t xsave_size_;
  kvm_run* run_;
  bool has_tsc_offset_;
};

}  // namespace vmm
