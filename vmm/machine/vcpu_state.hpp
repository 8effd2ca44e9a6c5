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

/// Loads one vCPU that has its CPUID and has not run. `tsc_shift` is that of GuestTime::load().
/// std::invalid_argument names what is unsound.
void load_vcpu(const KvmVcpu& vcpu, const std::string& prefix,
               std::optional<std::uint64_t> tsc_shift, SectionReader& from);

}  // namespace vmm
