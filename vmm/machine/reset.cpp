#include "vmm/machine/reset.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

namespace vmm {

namespace {

constexpr unsigned kExtInt = 7;

/// Where Linux has the first PIC's interrupts.
constexpr std::uint8_t kLinuxIrqBase = 0x30;
constexpr std::uint8_t kAllMasked = 0xff;

constexpr std::uint64_t kProtected = 1U << 0;        // CR0.PE
constexpr std::uint64_t kLongModeActive = 1U << 10;  // EFER.LMA

/// Of one entry of the interrupt table.
std::uint16_t gate_bytes(const kvm_sregs& sregs) {
  if ((sregs.cr0 & kProtected) == 0) return 4;
  return (sregs.efer & kLongModeActive) == 0 ? 8 : 16;
}

bool is_on(const kvm_ioapic_state& ioapic) {
  return std::ranges::any_of(std::span(ioapic.redirtbl), [](const auto& entry) {
    return entry.fields.mask == 0 && entry.fields.delivery_mode != kExtInt;
  });
}

}  // namespace

// Linux resets the machine by the same registers when it restarts and when it has panicked. But an
// orderly restart stops the interrupts first (native_machine_shutdown: clear_IO_APIC, and then one
// entry in ExtINT mode, as firmware leaves it; i8259A_shutdown), and a panic or SysRq-B
// (emergency_restart) does not. Of the IOAPIC's routes at least the SCI is open from early on,
// since ACPI's events have a handler; without ACPI the PIC is used. Who else uses the PIC may well
// reset the machine with it open, so it tells of Linux alone. The local APIC tells nothing of a
// panic: either way stop_other_cpus() has disabled it. Taken for orderly is what cannot be told: a
// panic before ACPI has started, or of a kernel that uses neither.
GuestEnd end_of_reset(const kvm_ioapic_state& ioapic, const kvm_pic_state& pic) {
  const bool pic_on = pic.irq_base == kLinuxIrqBase && pic.imr != kAllMasked;
  if (!is_on(ioapic) && !pic_on) return {GuestEnd::Kind::power_off, 0, {}};
  return {GuestEnd::Kind::crashed, 0,
          "it reset the machine with its interrupts still on, as a Linux does that panicked or was "
          "told to restart at once (SysRq-B)"};
}

bool linux_has_shut_down(const kvm_ioapic_state& ioapic, const kvm_pic_state& pic) {
  return !is_on(ioapic) && pic.irq_base == kLinuxIrqBase && pic.imr == kAllMasked;
}

// A kernel that restarts by a triple fault loads an empty interrupt table for it (Linux, with
// reboot=t, has one of no byte). KVM on AMD processors resets the vCPU before it tells: there only
// the interrupt controllers are left to tell of it.
TripleFault kind_of_triple_fault(const kvm_regs& regs, const kvm_sregs& sregs) {
  constexpr std::uint64_t kResetRip = 0xfff0;
  constexpr std::uint64_t kResetBase = 0xffff0000;
  const bool fresh =
      regs.rip == kResetRip && sregs.cs.base == kResetBase && (sregs.cr0 & kProtected) == 0;
  if (fresh) return TripleFault::unknown;
  return sregs.idt.limit < gate_bytes(sregs) - 1 ? TripleFault::reset : TripleFault::crash;
}

}  // namespace vmm
