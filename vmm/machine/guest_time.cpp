#include "vmm/machine/guest_time.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <system_error>

namespace vmm {

namespace {

std::uint64_t tsc_of(const KvmVcpu& vcpu) {
  std::array<kvm_msr_entry, 1> msr = {{{kTscMsr, 0, 0}}};
  if (vcpu.get_msrs(msr) != 1) throw std::system_error(EIO, std::generic_category(), "reading TSC");
  return msr[0].data;
}

void replace_tsc(StateSection& msrs, std::uint64_t tsc) {
  for (std::size_t at = 0; at + sizeof(kvm_msr_entry) <= msrs.data.size();
       at += sizeof(kvm_msr_entry)) {
    kvm_msr_entry entry{};
    std::memcpy(&entry, msrs.data.data() + at, sizeof(entry));
    if (entry.index != kTscMsr) continue;
    entry.data = tsc;
    std::memcpy(msrs.data.data() + at, &entry, sizeof(entry));
  }
}

/// Some KVM takes an offset and leaves it as it was.
bool can_set_tsc_offset(const KvmVcpu& vcpu) {
  const auto before = vcpu.tsc_offset();
  if (!before) return false;
  vcpu.set_tsc_offset(*before + 1);
  return vcpu.tsc_offset() == *before + 1;
}

std::uint64_t cycles(std::uint64_t nanoseconds, std::uint64_t khz) {
  constexpr std::uint64_t kMillion = 1'000'000;
  return nanoseconds / kMillion * khz + nanoseconds % kMillion * khz / kMillion;
}

}  // namespace

void save_time(const KvmVm& vm, std::span<const std::unique_ptr<Vcpu>> vcpus, MachineState& into) {
  kvm_clock_data clock = vm.get_clock();
  if ((clock.flags & KVM_CLOCK_REALTIME) == 0) {
    // KVM tells the wall clock's time only while it has a master clock.
    using std::chrono::system_clock;
    clock.realtime = static_cast<std::uint64_t>(
        std::chrono::nanoseconds(system_clock::now().time_since_epoch()).count());
    clock.flags |= KVM_CLOCK_REALTIME;
  }
  add_section(into, "vm/clock", clock);

  const KvmVcpu& first = vcpus.front()->kvm();
  const auto first_offset = first.tsc_offset();
  if (!first_offset) return;
  const std::uint64_t base = tsc_of(first) - *first_offset;
  // Where the host's TSC is unstable, KVM moves the offset with each call that is about the vCPU,
  // so that its TSC stands still while it does not run: what was read is of that moment already.
  if (first.tsc_offset() != first_offset) return;
  for (std::size_t i = 0; i < vcpus.size(); ++i) {
    const std::string id = fmt::format("vcpu{}/msrs", i);
    for (StateSection& section : into.sections) {
      if (section.id == id) replace_tsc(section, base + vcpus[i]->kvm().tsc_offset().value());
    }
  }
}

std::optional<std::uint64_t> load_time(const KvmVm& vm, const KvmVcpu& vcpu, SectionReader& from) {
  const auto saved = from.take_struct<kvm_clock_data>("vm/clock");
  kvm_clock_data clock{};
  clock.clock = saved.clock;
  clock.realtime = saved.realtime;
  clock.flags = saved.flags & KVM_CLOCK_REALTIME &
                static_cast<std::uint32_t>(vm.check_extension(KVM_CAP_ADJUST_CLOCK));
  vm.set_clock(clock);
  if (!can_set_tsc_offset(vcpu)) return std::nullopt;
  const std::uint64_t passed = vm.get_clock().clock - saved.clock;
  const std::uint64_t host = tsc_of(vcpu) - vcpu.tsc_offset().value();
  return cycles(passed, vcpu.tsc_khz()) - host;
}

}  // namespace vmm
