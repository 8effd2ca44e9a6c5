#pragma once

#include "vmm/kvm/kvm_api.hpp"

#include "vmm/machine/guest_end.hpp"

namespace vmm {

/// How a guest ends that asks for a reset while its IOAPIC is in this state: orderly, or crashed.
[[nodiscard]] GuestEnd end_of_reset(const kvm_ioapic_state& ioapic);

}  // namespace vmm
