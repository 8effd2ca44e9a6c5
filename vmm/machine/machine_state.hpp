#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/os/boot_clock.hpp"

namespace vmm {

/// One saved part of a machine: "vcpu0/regs", "vm/clock", "device/serial0". The bytes are the
/// kernel's own struct (its ABI is stable), or a device's saved form.
struct StateSection {
  std::string id;
  std::uint32_t version = 1;
  std::vector<std::byte> data;

  bool operator==(const StateSection&) const = default;
};

/// All that a guest can see except its RAM. An ordered list, so that a section that a reader does
/// not know is an error that names it and not a shift of all that follows.
struct MachineState {
  std::vector<StateSection> sections;
  /// Its clocks are of this moment or an earlier one: when it was saved or, elsewhere, when it
  /// came.
  BootClock::time_point as_of = BootClock::now();

  [[nodiscard]] const StateSection* find(std::string_view id) const;
};

/// Compares a state as saved with one read back after loading it, and names the first section and
/// field that differ; nullopt when they agree. Values that move by themselves are compared with a
/// tolerance, which machine_state.cpp lists one by one: TSC and TSC-derived MSRs, kvmclock, the
/// counts of LAPIC timer and PIT.
[[nodiscard]] std::optional<std::string> first_difference(const MachineState& saved,
                                                          const MachineState& loaded);

}  // namespace vmm
