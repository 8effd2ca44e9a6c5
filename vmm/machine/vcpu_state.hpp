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

/// MSRs of one vCPU by which the guest has named pages for KVM to write: its clock, say.
using PageMsrs = std::vector<kvm_msr_entry>;

/// Loads one vCPU that has its CPUID and has not run, but for what it returns: no guest page is
/// written before that is set. `tsc_shift` is that of GuestTime::load(). std::invalid_argument
/// names what is unsound.
[[nodiscard]] PageMsrs load_vcpu(const KvmVcpu& vcpu, const std::string& prefix,
                                 std::optional<std::uint64_t> tsc_shift, SectionReader& from);
/// std::invalid_argument for one that KVM does not take.
void set_msrs(const KvmVcpu& vcpu, const std::vector<kvm_msr_entry>& msrs);
/// In a vCPU's section "<prefix>/msrs", which was saved before they were set.
void replace_page_msrs(StateSection& section, const PageMsrs& msrs);

}  // namespace vmm
