#include "vmm/machine/machine_state.hpp"

#include <fmt/format.h>
#include "vmm/kvm/kvm_api.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace vmm {

namespace {

using Bytes = std::span<const std::byte>;

template <typename Value>
Value value_at(Bytes bytes, std::size_t at) {
  Value value{};
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

/// Fields for messages; bytes between them have only an offset.
struct Field {
  std::string_view section;  ///< what follows "vcpuN/"
  std::size_t offset;
  std::string_view name;
};

#define FERRY_FIELD(section, type, member) \
  Field { section, offsetof(type, member), #member }
constexpr std::array kFields = {
    FERRY_FIELD("regs", kvm_regs, rax),         FERRY_FIELD("regs", kvm_regs, rbx),
    FERRY_FIELD("regs", kvm_regs, rcx),         FERRY_FIELD("regs", kvm_regs, rdx),
    FERRY_FIELD("regs", kvm_regs, rsi),         FERRY_FIELD("regs", kvm_regs, rdi),
    FERRY_FIELD("regs", kvm_regs, rsp),         FERRY_FIELD("regs", kvm_regs, rbp),
    FERRY_FIELD("regs", kvm_regs, r8),          FERRY_FIELD("regs", kvm_regs, r9),
    FERRY_FIELD("regs", kvm_regs, r10),         FERRY_FIELD("regs", kvm_regs, r11),
    FERRY_FIELD("regs", kvm_regs, r12),         FERRY_FIELD("regs", kvm_regs, r13),
    FERRY_FIELD("regs", kvm_regs, r14),         FERRY_FIELD("regs", kvm_regs, r15),
    FERRY_FIELD("regs", kvm_regs, rip),         FERRY_FIELD("regs", kvm_regs, rflags),
    FERRY_FIELD("sregs", kvm_sregs2, cs),       FERRY_FIELD("sregs", kvm_sregs2, ds),
    FERRY_FIELD("sregs", kvm_sregs2, es),       FERRY_FIELD("sregs", kvm_sregs2, fs),
    FERRY_FIELD("sregs", kvm_sregs2, gs),       FERRY_FIELD("sregs", kvm_sregs2, ss),
    FERRY_FIELD("sregs", kvm_sregs2, tr),       FERRY_FIELD("sregs", kvm_sregs2, ldt),
    FERRY_FIELD("sregs", kvm_sregs2, gdt),      FERRY_FIELD("sregs", kvm_sregs2, idt),
    FERRY_FIELD("sregs", kvm_sregs2, cr0),      FERRY_FIELD("sregs", kvm_sregs2, cr2),
    FERRY_FIELD("sregs", kvm_sregs2, cr3),      FERRY_FIELD("sregs", kvm_sregs2, cr4),
    FERRY_FIELD("sregs", kvm_sregs2, cr8),      FERRY_FIELD("sregs", kvm_sregs2, efer),
    FERRY_FIELD("sregs", kvm_sregs2, apic_base)};
#undef FERRY_FIELD

std::string field_at(std::string_view section, std::size_t offset) {
  std::string name = fmt::format("byte {}", offset);
  for (const Field& field : kFields) {
    if (section.ends_with(field.section) && field.offset <= offset) name = field.name;
  }
  return name;
}

/// Byte ranges of a section that move by themselves, each with its reason.
struct Moving {
  std::string_view section;
  std::size_t offset;
  std::size_t size;
};
constexpr std::size_t kPitChannel = sizeof(kvm_pit_channel_state);
constexpr std::array kMoving = {
    // The LAPIC timer's current count runs down all the time (register 0x390).
    Moving{"/lapic", 0x390, 4},
    // The priority of what the CPU does, which follows from other registers. KVM works it out when
    // it is needed; while it loads a LAPIC, it forgets the interrupts that are being served.
    Moving{"/lapic", 0xa0, 4},
    // When a PIT channel was last loaded, in the host's clock: the count itself is compared. KVM
    // takes no such time over: it starts what it loads anew.
    Moving{"vm/pit", 0 * kPitChannel + offsetof(kvm_pit_channel_state, count_load_time), 8},
    Moving{"vm/pit", 1 * kPitChannel + offsetof(kvm_pit_channel_state, count_load_time), 8},
    Moving{"vm/pit", 2 * kPitChannel + offsetof(kvm_pit_channel_state, count_load_time), 8},
};

bool moves(std::string_view section, std::size_t at) {
  return std::ranges::any_of(kMoving, [&](const Moving& moving) {
    return section.ends_with(moving.section) && at >= moving.offset &&
           at < moving.offset + moving.size;
  });
}

/// kvmclock and TSC have run on since they were loaded: by no more than this. Never backwards.
constexpr std::uint64_t kClockTolerance = 60'000'000'000;     // ns
constexpr std::uint64_t kTscTolerance = 60 * 10'000'000'000;  // cycles: 60 s of a very fast CPU
constexpr std::uint32_t kTsc = 0x10;
/// KVM keeps 32 bits of these on AMD, as the processor does. One in software keeps all that a guest
/// writes while it runs.
constexpr std::uint32_t kSysenterEsp = 0x175;
constexpr std::uint32_t kSysenterEip = 0x176;

bool ran_on(std::uint64_t saved, std::uint64_t loaded, std::uint64_t tolerance) {
  return loaded >= saved && loaded - saved <= tolerance;
}

std::optional<std::string> compare_clock(Bytes saved, Bytes loaded) {
  const auto before = value_at<std::uint64_t>(saved, offsetof(kvm_clock_data, clock));
  const auto after = value_at<std::uint64_t>(loaded, offsetof(kvm_clock_data, clock));
  if (ran_on(before, after, kClockTolerance)) return std::nullopt;
  return fmt::format("vm/clock: {} ns saved, {} ns loaded", before, after);
}

bool same_msr(std::uint32_t index, std::uint64_t saved, std::uint64_t loaded) {
  switch (index) {
    case kTsc: return ran_on(saved, loaded, kTscTolerance);
    case kSysenterEsp:
    case kSysenterEip: return loaded == saved || loaded == (saved & 0xffffffff);
    default: return loaded == saved;
  }
}

std::vector<kvm_msr_entry> msrs_of(Bytes section) {
  std::vector<kvm_msr_entry> entries(section.size() / sizeof(kvm_msr_entry));
  std::memcpy(entries.data(), section.data(), entries.size() * sizeof(kvm_msr_entry));
  return entries;
}

/// Those that both list: which MSRs KVM tells to save depends on its release and on the processor.
/// One that was saved and that the destination does not have was refused as it was loaded.
std::optional<std::string> compare_msrs(std::string_view id, Bytes saved, Bytes loaded) {
  const std::vector<kvm_msr_entry> entries = msrs_of(loaded);
  for (const kvm_msr_entry& before : msrs_of(saved)) {
    const auto after = std::ranges::find(entries, before.index, &kvm_msr_entry::index);
    if (after != entries.end() && !same_msr(before.index, before.data, after->data)) {
      return fmt::format("{} MSR 0x{:x}: 0x{:x} saved, 0x{:x} loaded", id, before.index,
                         before.data, after->data);
    }
  }
  return std::nullopt;
}

std::optional<std::string> compare_bytes(std::string_view id, Bytes saved, Bytes loaded) {
  for (std::size_t at = 0; at < saved.size(); ++at) {
    if (saved[at] == loaded[at] || moves(id, at)) continue;
    const std::size_t word = at / 8 * 8;
    const auto show = [word](Bytes bytes) {
      return word + 8 <= bytes.size() ? value_at<std::uint64_t>(bytes, word) : 0;
    };
    return fmt::format("{} {} (offset {}): 0x{:x} saved, 0x{:x} loaded", id, field_at(id, at), word,
                       show(saved), show(loaded));
  }
  return std::nullopt;
}

}  // namespace

const StateSection* MachineState::find(std::string_view id) const {
  const auto found = std::ranges::find(sections, id, &StateSection::id);
  return found == sections.end() ? nullptr : &*found;
}

std::optional<std::string> first_difference(const MachineState& saved, const MachineState& loaded) {
  for (const StateSection& section : saved.sections) {
    const StateSection* other = loaded.find(section.id);
    if (other == nullptr) return fmt::format("{} is missing", section.id);
    const bool msrs = section.id.ends_with("/msrs");
    if (section.version != other->version || (section.data.size() != other->data.size() && !msrs)) {
      return fmt::format("{} has another version or size", section.id);
    }
    std::optional<std::string> difference;
    if (section.id == "vm/clock") {
      difference = compare_clock(section.data, other->data);
    } else if (msrs) {
      difference = compare_msrs(section.id, section.data, other->data);
    } else {
      difference = compare_bytes(section.id, section.data, other->data);
    }
    if (difference) return difference;
  }
  return std::nullopt;
}

}  // namespace vmm
