#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include "vmm/machine/guest_end.hpp"

namespace vmm {

/// How a guest ends that asks for a reset while its interrupt controllers (of the two PICs the
/// first) are in this state: orderly, or crashed.
[[nodiscard]] GuestEnd end_of_reset(const kvm_ioapic_state& ioapic, const kvm_pic_state& pic);

/// Whether these are the controllers of a Linux that has stopped its interrupts to restart.
[[nodiscard]] bool linux_has_shut_down(const kvm_ioapic_state& ioapic, const kvm_pic_state& pic);

/// What can be told of a vCPU that has ended in a triple fault.
enum class TripleFault {
  reset,  ///< on purpose: no exception can be served, as its interrupt table is empty
  crash,
  unknown,  ///< its registers are lost
};
[[nodiscard]] TripleFault kind_of_triple_fault(const kvm_regs& regs, const kvm_sregs& sregs);

}  // namespace vmm
