#include "reading_vcpu.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "system.hpp"
#include "vmm/kvm/kvm.hpp"
#include "vmm/kvm/kvm_vcpu.hpp"
#include "vmm/kvm/kvm_vm.hpp"

// As a program of the guest, in user mode: reads the bytes at the RCX addresses from RSI on. What
// it does then it must not, and nothing handles that: the processor shuts down.
asm(R"(
.pushsection .rodata
kGuestCode:
1:  movl (%rsi), %ebx
    movb (%rbx), %al
    addq $4, %rsi
    decq %rcx
    jnz 1b
    hlt
kGuestCodeEnd:
.popsection
)");
extern "C" const std::uint8_t kGuestCode[], kGuestCodeEnd[];

namespace {

// Guest-physical; the guest's tables map the first two gigabytes so, and its addresses are the
// same.
constexpr std::uint64_t kCode = 0;
constexpr std::uint64_t kTables = 1U << 16;
constexpr std::uint64_t kAddresses = 1U << 20;
constexpr std::uint64_t kRegion = 1U << 30;
constexpr std::uint32_t kTaskState = 0xfffbd000;  // three pages that some processors need for KVM

constexpr std::uint64_t kUserEntry = 7;  // present, writable, for user mode
constexpr std::uint64_t kLargePage = 1U << 7;
constexpr std::uint64_t kLargePageSize = 2U << 20;
constexpr std::size_t kEntries = 512;  // of a table

/// Two tables, and below them two that each map a gigabyte in large pages, at kTables.
std::span<std::uint8_t> tables() {
  constexpr std::size_t kSize = 4 * kPage;
  std::uint8_t* const at = memory(kSize);
  auto* const entries = reinterpret_cast<std::uint64_t*>(at);
  entries[0] = (kTables + kPage) | kUserEntry;
  for (std::uint64_t gigabyte = 0; gigabyte < 2; ++gigabyte) {
    entries[kEntries + gigabyte] = (kTables + (2 + gigabyte) * kPage) | kUserEntry;
  }
  for (std::uint64_t i = 0; i < 2 * kEntries; ++i) {
    entries[2 * kEntries + i] = (i * kLargePageSize) | kLargePage | kUserEntry;
  }
  return {at, kSize};
}

/// For user mode.
kvm_segment flat(std::uint8_t type, std::uint16_t selector) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.dpl = 3;
  segment.present = segment.s = segment.g = 1;
  return segment;
}

void set_state(const vmm::KvmVcpu& vcpu, std::size_t pages) {
  kvm_sregs system = vcpu.sregs();
  system.cs = flat(11, 0x1b);  // code
  system.cs.l = 1;
  system.ds = system.es = system.fs = system.gs = system.ss = flat(3, 0x23);  // data
  system.idt.limit = 0;
  system.cr0 = 0x80000011;  // PG, ET, PE
  system.cr3 = kTables;
  system.cr4 = 0x20;    // PAE
  system.efer = 0x500;  // LMA, LME
  vcpu.set_sregs(system);
  kvm_regs registers{};
  registers.rip = kCode;
  registers.rsi = kAddresses;
  registers.rcx = pages;
  registers.rflags = 2;
  vcpu.set_regs(registers);
}

}  // namespace

void read_as_a_guest(std::span<std::uint8_t> region, std::span<const std::size_t> order) {
  const std::span<std::uint8_t> code(memory(kPage), kPage);
  std::copy(kGuestCode, kGuestCodeEnd, code.data());
  const std::size_t size = (order.size() * sizeof(std::uint32_t) + kPage - 1) / kPage * kPage;
  const std::span<std::uint8_t> addresses(memory(size), size);
  std::ranges::transform(
      order, reinterpret_cast<std::uint32_t*>(addresses.data()),
      [](std::size_t page) { return static_cast<std::uint32_t>(kRegion + page * kPage); });

  const vmm::Kvm kvm;
  const vmm::KvmVm vm(kvm);
  vm.set_tss_addr(kTaskState);
  std::uint32_t slot = 0;
  const auto map = [&](std::uint64_t address, std::span<std::uint8_t> memory) {
    vm.set_user_memory_region(slot++, 0, vmm::GuestAddress{address}, as_writable_bytes(memory));
  };
  map(kCode, code);
  map(kTables, tables());
  map(kAddresses, addresses);
  map(kRegion, region);
  vmm::KvmVcpu vcpu(kvm, vm, 0);
  vcpu.set_cpuid(kvm.supported_cpuid());
  set_state(vcpu, order.size());
  while (vcpu.run() != 0) {
  }
  if (vcpu.shared().exit_reason != KVM_EXIT_SHUTDOWN) {
    throw std::runtime_error("KVM_RUN ended for reason " +
                             std::to_string(vcpu.shared().exit_reason));
  }
}
