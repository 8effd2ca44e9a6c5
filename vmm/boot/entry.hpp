#pragma once

#include <cstdint>

#include "vmm/machine/vcpu.hpp"

namespace vmm {

/// Where and how vCPU 0 begins.
struct BootEntry {
  enum class Protocol {
    pvh,      ///< 32-bit protected mode, paging off, EBX = info
    linux64,  ///< long mode on the page tables at kPageTablesAt, RSI = info
  };
  Protocol protocol = Protocol::pvh;
  std::uint64_t address = 0;  ///< guest physical
  std::uint64_t info = 0;     ///< guest physical: PVH start info, or Linux's zero page
};

/// Sets up a vCPU that has not run: Xen's docs/misc/pvh.pandoc, Linux's
/// Documentation/arch/x86/boot.rst ("64-bit Boot Protocol").
void set_entry(Vcpu& vcpu, const BootEntry& entry);

}  // namespace vmm
