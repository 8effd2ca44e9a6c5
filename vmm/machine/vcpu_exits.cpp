#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "vmm/machine/reset.hpp"
#include "vmm/machine/vcpu.hpp"

/// What a vCPU does for the guest when KVM comes back from it.
namespace vmm {

void Vcpu::serve_exit() {
  kvm_run& run = kvm_.shared();
  switch (run.exit_reason) {
    case KVM_EXIT_IO: return serve_port(run);
    case KVM_EXIT_MMIO: return serve_mmio(run);
    case KVM_EXIT_INTR: return;
    case KVM_EXIT_SHUTDOWN: return triple_fault();
    case KVM_EXIT_SYSTEM_EVENT:
      if (run.system_event.type == KVM_SYSTEM_EVENT_CRASH) return crash("crash event");
      return host_.end({GuestEnd::Kind::power_off, 0, {}});
    case KVM_EXIT_FAIL_ENTRY:
      return crash(fmt::format("KVM could not enter the guest (hardware reason 0x{:x}) at {}",
                               run.fail_entry.hardware_entry_failure_reason, where()));
    case KVM_EXIT_INTERNAL_ERROR: {
      std::string data;
      for (std::uint32_t i = 0; i < std::min<std::uint32_t>(run.internal.ndata, 16); ++i) {
        data += fmt::format(" {:x}", run.internal.data[i]);
      }
      return crash(fmt::format("KVM internal error, suberror {}, at {}; data{}",
                               run.internal.suberror, where(), data));
    }
    default: return crash(fmt::format("unexpected KVM exit {} at {}", run.exit_reason, where()));
  }
}

void Vcpu::serve_port(const kvm_run& run) {
  auto* const bytes = reinterpret_cast<std::byte*>(&kvm_.shared()) + run.io.data_offset;
  for (std::uint32_t i = 0; i < run.io.count; ++i) {  // more than one for INS and OUTS
    const std::span data(bytes + std::size_t{i} * run.io.size, run.io.size);
    if (run.io.direction == KVM_EXIT_IO_IN) {
      host_.ports.read(run.io.port, data);
    } else {
      host_.ports.write(run.io.port, data);
    }
  }
}

void Vcpu::serve_mmio(kvm_run& run) {
  const auto bytes = std::as_writable_bytes(std::span(run.mmio.data));
  const auto data = bytes.first(std::min<std::size_t>(run.mmio.len, bytes.size()));
  if (run.mmio.is_write != 0) {
    host_.mmio.write(run.mmio.phys_addr, data);
  } else {
    host_.mmio.read(run.mmio.phys_addr, data);
  }
}

void Vcpu::triple_fault() {
  switch (kind_of_triple_fault(kvm_.regs(), kvm_.sregs())) {
    case TripleFault::crash: return crash("triple fault at " + where());
    case TripleFault::unknown:
      if (host_.linux_has_shut_down()) break;
      return crash(
          "triple fault; KVM on an AMD processor does not tell where, nor whether it was a restart "
          "on purpose");
    case TripleFault::reset: break;
  }
  crashed_ = true;
  host_.reset();
}

std::string Vcpu::where() {
  try {
    const kvm_regs regs = kvm_.regs();
    const kvm_sregs sregs = kvm_.sregs();
    return fmt::format("rip 0x{:x} (cs 0x{:x}, rsp 0x{:x}, cr2 0x{:x}, cr3 0x{:x})", regs.rip,
                       sregs.cs.selector, regs.rsp, sregs.cr2, sregs.cr3);
  } catch (const std::system_error&) {
    return "an unknown place";
  }
}

void Vcpu::crash(std::string message) {
  crashed_ = true;
  host_.end({GuestEnd::Kind::crashed, 0, fmt::format("vCPU {}: {}", index_, message)});
}

}  // namespace vmm
