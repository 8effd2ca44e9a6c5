#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "vmm/machine/each_vcpu.hpp"
#include "vmm/machine/machine.hpp"
#include "vmm/machine/state_sections.hpp"
#include "vmm/machine/vcpu_state.hpp"

namespace vmm {

namespace {

constexpr std::array<const char*, 3> kIrqchips = {"vm/pic0", "vm/pic1", "vm/ioapic"};

}  // namespace

MachineState Machine::save() {
  for (const auto& vcpu : vcpus_) {
    if (!vcpu->stopped()) throw std::logic_error("a vCPU still waits for a page: no state to save");
  }
  if (!drained(std::chrono::steady_clock::now())) {
    throw std::runtime_error(
        fmt::format("{} still has I/O under way: no state to save", undrained()));
  }
  MachineState state;
  std::vector<MachineState> parts(vcpus_.size());
  std::vector<std::optional<std::uint64_t>> tsc_offsets(vcpus_.size());
  for_each_vcpu(vcpus_, [&](std::size_t i) {
    const KvmVcpu& vcpu = vcpus_[i]->kvm();
    save_vcpu(vcpu, config_.needs, fmt::format("vcpu{}", i), parts[i]);
    tsc_offsets[i] = vcpu.tsc_offset();
  });
  for (MachineState& part : parts) {
    std::ranges::move(part.sections, std::back_inserter(state.sections));
  }
  for (std::size_t i = 0; i < page_msrs_.size(); ++i) {
    const std::string msrs = fmt::format("vcpu{}/msrs", i);
    const auto section = std::ranges::find(state.sections, msrs, &StateSection::id);
    replace_page_msrs(*section, page_msrs_[i]);
  }
  for (std::uint32_t chip = 0; chip < kIrqchips.size(); ++chip) {
    add_section(state, kIrqchips.at(chip), vm_.get_irqchip(chip));
  }
  add_section(state, "vm/pit", vm_.get_pit2());
  for (const auto& device : devices_) {
    state.sections.push_back(
        {fmt::format("device/{}", device->id()), device->version(), device->save()});
  }
  time_.save(vm_, vcpus_.front()->kvm(), tsc_offsets, state);
  return state;
}

void Machine::load(const MachineState& state, PageWrites writes) {
  SectionReader from(state);
  std::vector<SavedVcpu> saved_vcpus;
  for (std::uint32_t i = 0; i < vcpus_.size(); ++i) {
    saved_vcpus.push_back(take_vcpu(from, fmt::format("vcpu{}", i), vcpus_[i]->kvm().xsave_size()));
  }
  const auto tsc_shift = time_.load(vm_, vcpus_.front()->kvm(), from, state.as_of);
  std::vector<PageMsrs> page_msrs(vcpus_.size());
  for_each_vcpu(vcpus_, [&](std::size_t i) {
    page_msrs[i] = load_vcpu(vcpus_[i]->kvm(), std::move(saved_vcpus[i]), tsc_shift, writes);
  });
  if (writes == PageWrites::at_resume) page_msrs_ = std::move(page_msrs);
  for (std::uint32_t chip = 0; chip < kIrqchips.size(); ++chip) {
    const auto saved = from.take_struct<kvm_irqchip>(kIrqchips.at(chip));
    if (saved.chip_id != chip) {
      throw std::invalid_argument(fmt::format("section {} is of another chip", kIrqchips.at(chip)));
    }
    vm_.set_irqchip(saved);
  }
  vm_.set_pit2(from.take_struct<kvm_pit_state2>("vm/pit"));
  for (const auto& device : devices_) {
    const StateSection& saved = from.take(fmt::format("device/{}", device->id()));
    try {
      device->load(saved.version, saved.data);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(fmt::format("section {}: {}", saved.id, error.what()));
    }
  }
  from.finish();
}

void Machine::set_page_msrs() {
  for (std::size_t i = 0; i < page_msrs_.size(); ++i) {
    if (!page_msrs_[i].empty()) set_msrs(vcpus_[i]->kvm(), page_msrs_[i]);
  }
  page_msrs_.clear();
}

void Machine::catch_up() { time_.catch_up(vm_, vcpus_); }

}  // namespace vmm
