#include "vmm/machine/vcpu_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "vmm/machine/guest_time.hpp"

namespace vmm {

namespace {

constexpr std::uint32_t kArchCapabilities = 0x10a;

/// Hyper-V's: no guest of Ferry's has them, and some are clocks that move by themselves.
bool is_hyperv(std::uint32_t msr) { return msr >= 0x40000000 && msr < 0x40000200; }

[[noreturn]] void fail_msr(const char* doing, const kvm_msr_entry& msr) {
  throw std::invalid_argument(
      fmt::format("KVM does not {} MSR 0x{:x} (value 0x{:x})", doing, msr.index, msr.data));
}

std::vector<kvm_msr_entry> read_msrs(const KvmVcpu& vcpu, const std::vector<std::uint32_t>& msrs) {
  std::vector<kvm_msr_entry> entries;
  entries.reserve(msrs.size());
  for (const std::uint32_t index : msrs) entries.push_back({index, 0, 0});
  const std::size_t read = vcpu.get_msrs(entries);
  if (read != entries.size()) fail_msr("read", entries[read]);
  return entries;
}

void add_index(std::vector<kvm_msr_entry>& entries, std::uint32_t index) {
  const bool known = std::ranges::any_of(
      entries, [&](const kvm_msr_entry& entry) { return entry.index == index; });
  if (!known && !is_hyperv(index)) entries.push_back({index, 0, 0});
}

/// The MTRRs: part of a guest's state, and not in KVM's list of it.
void add_memory_types(std::vector<kvm_msr_entry>& entries) {
  constexpr std::array kFirstToLast = {
      std::pair{0x200U, 0x20fU},  // eight variable ranges
      std::pair{0x250U, 0x250U}, std::pair{0x258U, 0x259U},
      std::pair{0x268U, 0x26fU},  // fixed ones
      std::pair{0x2ffU, 0x2ffU},  // the default type
  };
  for (const auto& [first, last] : kFirstToLast) {
    for (std::uint32_t index = first; index <= last; ++index) add_index(entries, index);
  }
}

/// KVM's own, all of which are of this kind, or have come to be: of kvmclock, stolen time, page
/// faults that are told later, and ends of interrupts.
bool names_page(std::uint32_t msr) {
  constexpr std::uint32_t kOldWallClock = 0x11;
  constexpr std::uint32_t kOldSystemTime = 0x12;
  return msr == kOldWallClock || msr == kOldSystemTime || (msr >= 0x4b564d00 && msr < 0x4b564e00);
}

void add_bytes(MachineState& state, std::string id, std::span<const std::byte> bytes) {
  state.sections.push_back({std::move(id), 1, {bytes.begin(), bytes.end()}});
}

}  // namespace

std::vector<std::uint32_t> settable_msrs(const Kvm& kvm, const KvmVcpu& vcpu,
                                         std::span<const std::uint32_t> wanted) {
  std::vector<kvm_msr_entry> entries;
  for (const std::uint32_t index : kvm.msr_indices()) add_index(entries, index);
  add_memory_types(entries);
  // KVM may know MSRs that it does not list: another release of it does.
  for (const std::uint32_t index : wanted) add_index(entries, index);
  // Both calls stop at the first MSR that KVM refuses: drop it and go on behind it.
  for (std::size_t done = 0; done < entries.size();) {
    done += vcpu.get_msrs(std::span(entries).subspan(done));
    if (done < entries.size()) entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(done));
  }
  // Writing the TSC, even unchanged, would move it against the other vCPUs'.
  std::erase_if(entries, [](const kvm_msr_entry& entry) { return entry.index == kTscMsr; });
  for (std::size_t done = 0; done < entries.size();) {
    done += vcpu.set_msrs(std::span(entries).subspan(done));
    if (done < entries.size()) entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(done));
  }
  std::vector<std::uint32_t> msrs = {kTscMsr};
  for (const kvm_msr_entry& entry : entries) msrs.push_back(entry.index);
  // The deadline is compared with the TSC as it is when the deadline is set.
  std::stable_partition(msrs.begin(), msrs.end(),
                        [](std::uint32_t index) { return index != kTscDeadlineMsr; });
  return msrs;
}

HostNeeds needs_of(const KvmVcpu& vcpu, std::vector<std::uint32_t> msrs) {
  HostNeeds needs;
  std::array<kvm_msr_entry, 1> capabilities = {{{kArchCapabilities, 0, 0}}};
  if (vcpu.get_msrs(capabilities) == 1) needs.arch_capabilities = capabilities[0].data;
  needs.xsave_bytes = static_cast<std::uint32_t>(vcpu.xsave_size());
  needs.event_flags = vcpu.events().flags;
  needs.msrs = std::move(msrs);
  return needs;
}

void save_vcpu(const KvmVcpu& vcpu, const HostNeeds& needs, const std::string& prefix,
               MachineState& into) {
  // First: a pending INIT or SIPI is acted on here, which can change LAPIC, CS and RIP.
  add_section(into, prefix + "/mp_state", vcpu.mp_state());
  add_section(into, prefix + "/regs", vcpu.regs());
  add_section(into, prefix + "/sregs", vcpu.sregs2());
  into.sections.push_back({prefix + "/xsave", 1, vcpu.xsave()});
  add_section(into, prefix + "/xcrs", vcpu.xcrs());
  add_section(into, prefix + "/debugregs", vcpu.debugregs());
  add_section(into, prefix + "/lapic", vcpu.lapic());
  const auto entries = read_msrs(vcpu, needs.msrs);
  add_bytes(into, prefix + "/msrs", std::as_bytes(std::span(entries)));
  // Last: the calls above can turn what is being injected into a pending event.
  kvm_vcpu_events events = vcpu.events();
  events.flags &= needs.event_flags;
  add_section(into, prefix + "/events", events);
}

SavedVcpu take_vcpu(SectionReader& from, const std::string& prefix, std::size_t xsave_size) {
  SavedVcpu saved;
  saved.mp_state = from.take_struct<kvm_mp_state>(prefix + "/mp_state");
  saved.regs = from.take_struct<kvm_regs>(prefix + "/regs");
  saved.sregs = from.take_struct<kvm_sregs2>(prefix + "/sregs");
  saved.xsave = from.take_bytes(prefix + "/xsave", xsave_size);
  saved.xcrs = from.take_struct<kvm_xcrs>(prefix + "/xcrs");
  saved.debugregs = from.take_struct<kvm_debugregs>(prefix + "/debugregs");
  saved.lapic = from.take_struct<kvm_lapic_state>(prefix + "/lapic");
  const auto bytes = from.take_bytes(prefix + "/msrs", 0);
  if (bytes.size() % sizeof(kvm_msr_entry) != 0 ||
      bytes.size() > kMaxMsrs * sizeof(kvm_msr_entry)) {
    throw std::invalid_argument(prefix + "/msrs has an unsound size");
  }
  saved.msrs.resize(bytes.size() / sizeof(kvm_msr_entry));
  std::memcpy(saved.msrs.data(), bytes.data(), bytes.size());
  saved.events = from.take_struct<kvm_vcpu_events>(prefix + "/events");
  return saved;
}

PageMsrs load_vcpu(const KvmVcpu& vcpu, SavedVcpu saved, std::optional<std::uint64_t> tsc_shift,
                   PageWrites writes) {
  // The APIC base (in SREGS) before the LAPIC; the LAPIC's timer mode before the MSRs, which hold
  // the TSC deadline; general registers before the events, which they would clear.
  vcpu.set_sregs2(saved.sregs);
  vcpu.set_xcrs(saved.xcrs);
  vcpu.set_xsave(saved.xsave);
  vcpu.set_debugregs(saved.debugregs);
  vcpu.set_lapic(saved.lapic);

  std::vector<kvm_msr_entry>& msrs = saved.msrs;
  if (tsc_shift) {
    // Not by its MSR: before Linux 6.7, KVM takes a TSC that is within a second of what it expects
    // for an attempt to make all TSCs equal, and sets what it expects. That of a young guest would
    // step back. And before the TSC deadline, which is compared with it.
    std::erase_if(msrs, [&](const kvm_msr_entry& msr) {
      if (msr.index != kTscMsr) return false;
      vcpu.set_tsc_offset(msr.data + *tsc_shift);
      return true;
    });
  }
  PageMsrs page_msrs;
  if (writes == PageWrites::at_resume) {
    const auto pages = std::stable_partition(
        msrs.begin(), msrs.end(), [](const kvm_msr_entry& msr) { return !names_page(msr.index); });
    page_msrs.assign(pages, msrs.end());
    msrs.erase(pages, msrs.end());
  }
  set_msrs(vcpu, msrs);

  vcpu.set_regs(saved.regs);
  // What is valid on reading is not all taken on writing without saying so.
  saved.events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR;
  vcpu.set_events(saved.events);
  vcpu.set_mp_state(saved.mp_state);
  return page_msrs;
}

void set_msrs(const KvmVcpu& vcpu, const std::vector<kvm_msr_entry>& msrs) {
  const std::size_t written = vcpu.set_msrs(msrs);
  if (written != msrs.size()) fail_msr("set", msrs[written]);
}

void replace_page_msrs(StateSection& section, const PageMsrs& msrs) {
  for (std::size_t at = 0; at + sizeof(kvm_msr_entry) <= section.data.size();
       at += sizeof(kvm_msr_entry)) {
    kvm_msr_entry entry{};
    std::memcpy(&entry, section.data.data() + at, sizeof(entry));
    const auto set = std::ranges::find(msrs, entry.index, &kvm_msr_entry::index);
    if (set != msrs.end()) std::memcpy(section.data.data() + at, &*set, sizeof(*set));
  }
}

}  // namespace vmm
