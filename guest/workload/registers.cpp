#include "guest/workload/registers.hpp"

#include "guest/cpu/service.hpp"
#include "guest/cpu/time.hpp"
#include "guest/io/console.hpp"

extern "C" void registers_hold(const guest::RegisterImage* want, guest::RegisterImage* got,
                               std::uint32_t components);

namespace guest {
namespace {

RegisterImage wanted[GUEST_MAX_CPUS];
RegisterImage found[GUEST_MAX_CPUS];

constexpr std::uint64_t kPrivilegedPeriodMs = 50;

/// Registers that are read and written by number; `value` makes a legal one from random bits.
struct Msr {
  const char* name;
  std::uint32_t index;
  std::uint64_t (*value)(std::uint64_t bits);
};

std::uint64_t canonical(std::uint64_t bits) { return bits & 0x7fff'ffff'ffff; }
std::uint64_t low_half(std::uint64_t bits) { return bits & 0xffff'ffff; }
std::uint64_t any(std::uint64_t bits) { return bits; }
std::uint64_t selector(std::uint64_t bits) { return bits & 0xfff8; }

/// Entries 4 to 7, which no page uses, get any of the six legal types; the others stay as at reset.
std::uint64_t page_attributes(std::uint64_t bits) {
  constexpr std::uint64_t kTypes[8] = {0, 1, 4, 5, 6, 7, 0, 6};
  std::uint64_t value = 0x0007'0406;
  for (int entry = 4; entry < 8; ++entry, bits >>= 3) value |= kTypes[bits & 7] << (8 * entry);
  return value;
}

constexpr Msr kMsrs[] = {
    {"star", 0xc000'0081, any},
    {"lstar", 0xc000'0082, canonical},
    {"cstar", 0xc000'0083, canonical},
    {"sfmask", 0xc000'0084, low_half},
    {"kernel-gs-base", 0xc000'0102, canonical},
    {"sysenter-cs", 0x174, selector},
    {"sysenter-esp", 0x175, low_half},  // AMD's have 32 bits
    {"sysenter-eip", 0x176, low_half},
    {"pat", 0x277, page_attributes},
};
constexpr int kMsrCount = sizeof(kMsrs) / sizeof(kMsrs[0]);

constexpr std::uint32_t kMsrFsBase = 0xc000'0100;
constexpr std::uint32_t kMsrGsBase = 0xc000'0101;
constexpr std::uint32_t kMsrEfer = 0xc000'0080;
constexpr std::uint32_t kMsrApicBase = 0x1b;

struct Control {
  const char* name;
  std::uint64_t (*read)(std::uint64_t, std::uint64_t);
  std::uint64_t (*write)(std::uint64_t, std::uint64_t);  // null: keeps the value it has
};

template <std::uint32_t index>
std::uint64_t read_one(std::uint64_t, std::uint64_t) {
  return read_msr(index);
}

constexpr Control kControls[] = {
    {"cr0", call_service<GUEST_SERVICE_READ_CR0>, nullptr},
    {"cr2", call_service<GUEST_SERVICE_READ_CR2>, call_service<GUEST_SERVICE_WRITE_CR2>},
    {"cr3", call_service<GUEST_SERVICE_READ_CR3>, nullptr},
    {"cr4", call_service<GUEST_SERVICE_READ_CR4>, nullptr},
    {"cr8", call_service<GUEST_SERVICE_READ_CR8>, nullptr},
    {"dr0", call_service<GUEST_SERVICE_READ_DR0>, call_service<GUEST_SERVICE_WRITE_DR0>},
    {"dr1", call_service<GUEST_SERVICE_READ_DR1>, call_service<GUEST_SERVICE_WRITE_DR1>},
    {"dr2", call_service<GUEST_SERVICE_READ_DR2>, call_service<GUEST_SERVICE_WRITE_DR2>},
    {"dr3", call_service<GUEST_SERVICE_READ_DR3>, call_service<GUEST_SERVICE_WRITE_DR3>},
    {"dr7", call_service<GUEST_SERVICE_READ_DR7>, nullptr},
    {"efer", read_one<kMsrEfer>, nullptr},
    {"apic-base", read_one<kMsrApicBase>, nullptr},
    {"fs-base", read_one<kMsrFsBase>, nullptr},
    {"gs-base", read_one<kMsrGsBase>, nullptr},
};
constexpr int kControlCount = sizeof(kControls) / sizeof(kControls[0]);

/// A software KVM may run CPL 3 with its own thread's DS and ES, which no ioctl shows: then what
/// CPL 0 loaded at the start is not what CPL 3 finds.
bool selectors_are_kept() {
  std::uint32_t ds;
  std::uint32_t es;
  asm volatile("mov %%ds, %0; mov %%es, %1" : "=r"(ds), "=r"(es));
  return (ds & 0xffff) == GUEST_USER_DS && (es & 0xffff) == GUEST_USER_DS;
}

}  // namespace

Registers::Registers(Processor& cpu)
    : cpu_(cpu),
      random_(0x5eed + std::uint64_t{cpu.id}),
      want_(wanted[cpu.id]),
      got_(found[cpu.id]),
      fs_target_(random_.next()),
      gs_target_(random_.next()),
      selectors_kept_(selectors_are_kept()) {
  static_assert(kControlCount <= kMostControls && kMsrCount <= kMostMsrs);
  layout_.enable();
  set_privileged();
  if (cpu_.id == 0) {
    Line line;
    line << "regs components=";
    line.hex(layout_.components()) << " selectors=" << std::uint64_t{selectors_kept_};
    print(line);
  }
}

void Registers::set_privileged() {
  asm volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
  write_msr(kMsrFsBase, reinterpret_cast<std::uint64_t>(&fs_target_));
  write_msr(kMsrGsBase, reinterpret_cast<std::uint64_t>(&gs_target_));
  // Priority 1 holds back only vectors that nothing uses.
  call_service<GUEST_SERVICE_WRITE_CR8>(cpu_.id % 2);
  for (int i = 0; i < kControlCount; ++i) {
    if (kControls[i].write == nullptr) {
      control_[i] = kControls[i].read(0, 0);
    } else {
      control_[i] = canonical(random_.next());
      kControls[i].write(control_[i], 0);
    }
  }
  for (int i = 0; i < kMsrCount; ++i) {
    msr_[i] = kMsrs[i].value(random_.next());
    write_msr(kMsrs[i].index, msr_[i]);
  }
}

void Registers::check_privileged() const {
  for (int i = 0; i < kControlCount; ++i) {
    const std::uint64_t got = kControls[i].read(0, 0);
    if (got != control_[i]) report({kControls[i].name, false, 0, got, control_[i]});
  }
  for (int i = 0; i < kMsrCount; ++i) {
    const std::uint64_t got = read_msr(kMsrs[i].index);
    if (got != msr_[i]) report({kMsrs[i].name, false, 0, got, msr_[i]});
  }
}

void Registers::step(std::uint64_t now) {
  layout_.choose_values(want_, random_);
  // Null on a back end that does not keep them.
  const bool odd_round = (cpu_.progress.register_rounds & 1) != 0;
  want_.ds = selectors_kept_ && odd_round ? GUEST_USER_DS : 0;
  want_.es = selectors_kept_ && !odd_round ? GUEST_USER_DS : 0;
  want_.fs = 0;
  want_.gs = 0;
  want_.fs_word = fs_target_;
  want_.gs_word = gs_target_;
  registers_hold(&want_, &got_, layout_.components());
  const RegisterChange change = layout_.compare(got_, want_);
  if (change.name != nullptr) report(change);
  if (now >= privileged_due_) {
    check_privileged();
    privileged_due_ = now + milliseconds(kPrivilegedPeriodMs);
  }
  ++cpu_.progress.register_rounds;
}

void Registers::report(const RegisterChange& change) const {
  Line line;
  line << "reg " << change.name;
  if (change.numbered) line << change.index;
  line << " vcpu=" << cpu_.id << " got=";
  line.hex(change.got) << " want=";
  fail(ExitCode::register_error, line.hex(change.want));
}

}  // namespace guest
