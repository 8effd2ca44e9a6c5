#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/machine/device_list.hpp"

namespace vmm {

inline constexpr std::uint32_t kMaxCpus = 16;
inline constexpr std::size_t kMaxName = 255;  ///< bytes of a VM's name
/// Of one vCPU's state: KVM reads and sets no more at a time.
inline constexpr std::size_t kMaxMsrs = 255;

/// What a guest and its saved state need of a host, beyond CPUID and the TSC's rate. host_fit.hpp
/// compares it with what a host has.
struct HostNeeds {
  std::uint64_t arch_capabilities = 0;  ///< IA32_ARCH_CAPABILITIES, as the guest reads it
  std::uint32_t xsave_bytes = 0;        ///< of an XSAVE area as KVM saves it
  std::uint32_t event_flags = 0;        ///< KVM_VCPUEVENT_VALID_*: what saved events tell about
  std::vector<std::uint32_t> msrs;      ///< that are saved, by number
};

/// What a machine is made of: what `ferry run` decides once, and what travels, so that a receiver
/// needs no flags.
struct MachineConfig {
  std::string id;    ///< UUID, fixed for the life of the guest
  std::string name;  ///< for people: printable, at most kMaxName bytes
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpus = 1;
  std::uint32_t tsc_khz = 0;
  std::vector<kvm_cpuid_entry2> cpuid;  ///< as vCPU 0 is shown it
  HostNeeds needs;                      ///< made with the machine where there is no `cpuid` yet
  /// Those that are attached; a machine lists them itself.
  std::vector<DeviceVersion> devices;
};

/// A fresh random UUID, version 4.
[[nodiscard]] std::string make_uuid();

/// A VM's name out of any text, such as that of a file.
[[nodiscard]] std::string sound_name(std::string_view text);

/// JSON, as it travels; docs/protocol.md names the fields.
[[nodiscard]] std::string to_json(const MachineConfig& config);
/// Throws std::invalid_argument, naming the field, for anything that is not a sound configuration.
[[nodiscard]] MachineConfig machine_config_from_json(std::string_view document);

}  // namespace vmm
