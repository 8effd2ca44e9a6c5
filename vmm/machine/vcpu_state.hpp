#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/kvm/kvm_vcpu.hpp"
#include "vmm/machine/machine_config.hpp"
#include "vmm/machine/state_sections.hpp"

namespace vmm {

/// The MSRs of KVM's index list, and of `wanted`, that can be both read and written here: a guest's
/// state. Found by trying, on a vCPU that has not run.
[[nodiscard]] std::vector<std::uint32_t> settable_msrs(const Kvm& kvm, const KvmVcpu& vcpu,
                                                       std::span<const std::uint32_t> wanted);

/// What the state of a vCPU that has its CPUID, and has not run, would need of another host; `msrs`
/// are those that are saved.
[[nodiscard]] HostNeeds needs_of(const KvmVcpu& vcpu, std::vector<std::uint32_t> msrs);

/// Saves one stopped vCPU into sections "<prefix>/regs" and so on. The order of the calls matters,
/// and is explained where they are.
void save_vcpu(const KvmVcpu& vcpu, const HostNeeds& needs, const std::string& prefix,
               MachineState& into);

/// What save_vcpu() saved, as it came: of the sizes that this host has, and not looked into.
struct SavedVcpu {
  kvm_mp_state mp_state{};
  kvm_regs regs{};
  kvm_sregs2 sregs{};
  std::span<const std::byte> xsave;  ///< in its section
  kvm_xcrs xcrs{};
  kvm_debugregs debugregs{};
  kvm_lapic_state lapic{};
  std::vector<kvm_msr_entry> msrs;
  kvm_vcpu_events events{};
};
/// In the order in which it was saved. Throws what SectionReader does.
[[nodiscard]] SavedVcpu take_vcpu(SectionReader& from, const std::string& prefix,
                                  std::size_t xsave_size);

/// Whether KVM writes guest pages, which it does for kvmclock among others, when a state is loaded,
/// or not before the guest is resumed.
enum class PageWrites { at_load, at_resume };

/// MSRs of one vCPU by which the guest has named pages for KVM to write: its clock, say.
using PageMsrs = std::vector<kvm_msr_entry>;

/// Loads one vCPU that has its CPUID and has not run, but for what it returns, which is nothing
/// when pages may be written at load. `tsc_shift` is that of GuestTime::load().
/// std::invalid_argument names what is unsound.
[[nodiscard]] PageMsrs load_vcpu(const KvmVcpu& vcpu, SavedVcpu saved,
                                 std::optional<std::uint64_t> tsc_shift, PageWrites writes);
/// std::invalid_argument for one that KVM does not take.
void set_msrs(const KvmVcpu& vcpu, const std::vector<kvm_msr_entry>& msrs);
/// In a vCPU's section "<prefix>/msrs", which was saved before they were set.
void replace_page_msrs(StateSection& section, const PageMsrs& msrs);

}  // namespace vmm
