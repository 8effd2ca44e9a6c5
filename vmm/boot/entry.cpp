#include "vmm/boot/entry.hpp"

#include "vmm/boot/placement.hpp"

namespace vmm {

namespace {

constexpr std::uint8_t kCode = 0xb;
constexpr std::uint8_t kData = 0x3;

kvm_segment flat(std::uint16_t selector, std::uint8_t type) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.db = 1;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

kvm_segment task_state(std::uint16_t selector) {
  kvm_segment segment{};
  segment.limit = 0x67;
  segment.selector = selector;
  segment.type = 0xb;
  segment.present = 1;
  return segment;
}

void set_pvh(kvm_sregs& sregs) {
  sregs.cs = flat(0x08, kCode);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x10, kData);
  sregs.tr = task_state(0x18);
  sregs.cr0 = 0x11;  // PE, ET
  sregs.cr4 = 0;
  sregs.efer = 0;
}

void set_linux64(kvm_sregs& sregs) {
  sregs.cs = flat(0x10, kCode);  // __BOOT_CS
  sregs.cs.db = 0;
  sregs.cs.l = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x18, kData);  // __BOOT_DS
  sregs.tr = task_state(0x20);
  sregs.gdt.base = kGdtAt;
  sregs.gdt.limit = kGdtBytes - 1;
  sregs.cr3 = kPageTablesAt;
  sregs.cr0 = 0x80000011;  // PG, PE, ET
  sregs.cr4 = 0x20;        // PAE
  sregs.efer = 0x500;      // LME, LMA
}

}  // namespace

void set_entry(Vcpu& vcpu, const BootEntry& entry) {
  kvm_sregs sregs = vcpu.sregs();
  kvm_regs regs{};
  if (entry.protocol == BootEntry::Protocol::pvh) {
    set_pvh(sregs);
    regs.rbx = entry.info;
  } else {
    set_linux64(sregs);
    regs.rsi = entry.info;
  }
  vcpu.set_sregs(sregs);
  regs.rip = entry.address;
  regs.rflags = 2;
  vcpu.set_regs(regs);
}

}  // namespace vmm
