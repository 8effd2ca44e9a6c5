#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "vmm/kvm/kvm_vm.hpp"
#include "vmm/machine/state_sections.hpp"
#include "vmm/machine/vcpu.hpp"

namespace vmm {

constexpr std::uint32_t kTscMsr = 0x10;

/// Saves kvmclock as "vm/clock", last of all, and makes the TSCs in the vCPUs' sections those of
/// the same moment, so that how far the vCPUs' TSCs are apart is exact. Where the TSCs stand still
/// while the vCPUs do, they are left as they were read.
void save_time(const KvmVm& vm, std::span<const std::unique_ptr<Vcpu>> vcpus, MachineState& into);

/// Loads kvmclock, first of all: the guest's time runs on from here, and the wall clock tells how
/// much of it passed since it was saved. Returns what to add to a saved TSC so that it becomes the
/// offset that lets this TSC too run on; nullopt where KVM does not let us set offsets.
[[nodiscard]] std::optional<std::uint64_t> load_time(const KvmVm& vm, const KvmVcpu& vcpu,
                                                     SectionReader& from);

}  // namespace vmm
