#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <optional>
#include <string>
#include <vector>

#include "vmm/machine/machine_config.hpp"

/// Whether a guest that has run elsewhere can go on here: compared when its configuration comes,
/// while it still runs over there. All of it is pure. What does not fit is told to people: which
/// bit, component or MSR it is, and what to do; nullopt when all fits.
namespace vmm {

/// CPU features, the layout of the XSAVE area, and the width of physical addresses.
[[nodiscard]] std::optional<std::string> cpuid_misfit(const std::vector<kvm_cpuid_entry2>& guest,
                                                      const std::vector<kvm_cpuid_entry2>& host);

/// IA32_ARCH_CAPABILITIES, and the state that will come. `host.msrs` are those that can be set.
[[nodiscard]] std::optional<std::string> state_misfit(const MachineConfig& guest,
                                                      const HostNeeds& host);

}  // namespace vmm
