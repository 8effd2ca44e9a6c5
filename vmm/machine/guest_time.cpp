#include "vmm/machine/guest_time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>

#include "vmm/machine/each_vcpu.hpp"

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

void set_clock(const KvmVm& vm, std::uint64_t nanoseconds) {
  kvm_clock_data clock{};
  clock.clock = nanoseconds;
  vm.set_clock(clock);
}

/// KVM has turned the deadline into a time of the host when it was set: it is set again.
void advance_tsc(const KvmVcpu& vcpu, std::uint64_t by) {
  std::array<kvm_msr_entry, 1> deadline = {{{kTscDeadlineMsr, 0, 0}}};
  const bool has_deadline = vcpu.get_msrs(deadline) == 1 && deadline[0].data != 0;
  vcpu.set_tsc_offset(vcpu.tsc_offset().value() + by);
  if (has_deadline && vcpu.set_msrs(deadline) != 1) {
    throw std::system_error(EIO, std::generic_category(), "setting the TSC deadline again");
  }
}

}  // namespace

void GuestTime::save(const KvmVm& vm, const KvmVcpu& first,
                     std::span<const std::optional<std::uint64_t>> tsc_offsets,
                     MachineState& into) {
  // Before: what is known to have passed since is rather too much by a microsecond than too little,
  // as what passes on the wire is not counted at all.
  saved_ = Clock::now();
  into.as_of = saved_;
  add_section(into, "vm/clock", vm.get_clock());

  const auto first_offset = first.tsc_offset();
  if (!first_offset) return;
  const std::uint64_t base = tsc_of(first) - *first_offset;
  // Where the host's TSC is unstable, KVM moves the offset with each call that is about the vCPU,
  // so that its TSC stands still while it does not run: what was read is of that moment already.
  if (first.tsc_offset() != first_offset) return;
  for (std::size_t i = 0; i < tsc_offsets.size(); ++i) {
    const std::string id = fmt::format("vcpu{}/msrs", i);
    for (StateSection& section : into.sections) {
      if (section.id == id) replace_tsc(section, base + tsc_offsets[i].value());
    }
  }
}

std::optional<std::uint64_t> GuestTime::load(const KvmVm& vm, const KvmVcpu& vcpu,
                                             SectionReader& from, Clock::time_point as_of) {
  const auto saved = from.take_struct<kvm_clock_data>("vm/clock");
  const bool tsc_offsets = can_set_tsc_offset(vcpu);
  // Read right before: what a busy host takes between the two is lost to the guest.
  loaded_ = Loaded{.saved = as_of, .loaded = Clock::now(), .tsc_offsets = tsc_offsets};
  set_clock(vm, saved.clock);
  if (!loaded_->tsc_offsets) return std::nullopt;
  const std::uint64_t passed = vm.get_clock().clock - saved.clock;
  const std::uint64_t host = tsc_of(vcpu) - vcpu.tsc_offset().value();
  return cycles(passed, vcpu.tsc_khz()) - host;
}

void GuestTime::saved_before(Duration least) {
  if (loaded_) loaded_->saved = std::min(loaded_->saved, Clock::now() - least);
}

void GuestTime::catch_up(const KvmVm& vm, std::span<const std::unique_ptr<Vcpu>> vcpus) {
  const auto loaded = std::exchange(loaded_, std::nullopt);
  if (!loaded || loaded->saved >= loaded->loaded) return;
  const auto missed = static_cast<std::uint64_t>((loaded->loaded - loaded->saved).count());
  const std::uint64_t clock = vm.get_clock().clock;
  const auto read = Clock::now();
  set_clock(vm, clock + missed + static_cast<std::uint64_t>((Clock::now() - read).count()));
  if (!loaded->tsc_offsets) return;
  const std::uint64_t by = cycles(missed, vcpus.front()->kvm().tsc_khz());
  for_each_vcpu(vcpus, [&](std::size_t i) { advance_tsc(vcpus[i]->kvm(), by); });
}

}  // namespace vmm
