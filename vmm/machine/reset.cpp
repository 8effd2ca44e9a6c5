#include "vmm/machine/reset.hpp"

#include <algorithm>
#include <span>

namespace vmm {

namespace {

constexpr unsigned kExtInt = 7;

}  // namespace

// Linux resets the machine by the same registers when it restarts and when it has panicked. But an
// orderly restart stops the interrupts first (native_machine_shutdown: clear_IO_APIC, and then one
// entry in ExtINT mode, as firmware leaves it), and a panic (emergency_restart) does not. Of its
// routes at least the SCI is open from early on, since ACPI's events have a handler. The local APIC
// tells nothing: either way stop_other_cpus() has disabled it. Taken for orderly is what cannot be
// told: a panic before ACPI has started, or of a kernel that leaves the IOAPIC alone.
GuestEnd end_of_reset(const kvm_ioapic_state& ioapic) {
  const bool live = std::ranges::any_of(std::span(ioapic.redirtbl), [](const auto& entry) {
    return entry.fields.mask == 0 && entry.fields.delivery_mode != kExtInt;
  });
  if (!live) return {GuestEnd::Kind::power_off, 0, {}};
  return {GuestEnd::Kind::crashed, 0,
          "it reset the machine with its interrupts still on, as a Linux that panicked does"};
}

}  // namespace vmm
