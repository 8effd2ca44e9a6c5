#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/kvm/kvm.hpp"

namespace vmm {

/// The CPUID that a guest gets here: what KVM supports, without what cannot be kept across a
/// migration (an invariant TSC) or nested (VMX, SVM), and with what the in-kernel LAPIC gives.
[[nodiscard]] std::vector<kvm_cpuid_entry2> host_cpuid(const Kvm& kvm);

/// The same of what KVM supports, given whether its LAPIC has the TSC deadline timer.
[[nodiscard]] std::vector<kvm_cpuid_entry2> without_what_stays(std::vector<kvm_cpuid_entry2> cpuid,
                                                               bool deadline_timer);

/// The same for one vCPU, whose APIC id is its index: one socket, with a core for each vCPU.
[[nodiscard]] std::vector<kvm_cpuid_entry2> cpuid_for_vcpu(std::vector<kvm_cpuid_entry2> cpuid,
                                                           std::uint32_t index, std::uint32_t cpus);

/// The row of a leaf, or of a leaf's part where it has parts; null when there is none.
[[nodiscard]] const kvm_cpuid_entry2* find_leaf(const std::vector<kvm_cpuid_entry2>& cpuid,
                                                std::uint32_t function, std::uint32_t index = 0);

/// The name at place `bit` of names that are separated by blanks; empty for "-", which is none.
[[nodiscard]] std::string_view bit_name(std::string_view names, unsigned bit);

/// The first thing that a guest with CPUID `wanted` could rely on and a host with `host` cannot
/// give, by name, for example "avx512f (CPUID leaf 7.0 EBX bit 16)"; nullopt when it fits.
[[nodiscard]] std::optional<std::string> first_missing_feature(
    const std::vector<kvm_cpuid_entry2>& wanted, const std::vector<kvm_cpuid_entry2>& host);

}  // namespace vmm
