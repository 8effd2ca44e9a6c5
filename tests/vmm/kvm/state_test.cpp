#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/kvm/kvm_api.hpp"

namespace vmm {
namespace {

constexpr const char* kWorkload = "tick=2 timer=100 regs fill=4 dirty=500 check";

void blank(StateSection& section, std::size_t offset, std::size_t size) {
  ASSERT_LE(offset + size, section.data.size()) << section.id;
  std::fill_n(section.data.begin() + static_cast<std::ptrdiff_t>(offset), size, std::byte{0});
}

/// Takes out what moves by itself, so that all the rest can be compared byte for byte: the count of
/// the LAPIC's timer, its processor priority, when the PIT's channels were loaded, kvmclock with
/// the host's clocks that it was read at, and the TSC.
MachineState without_what_moves(MachineState state) {
  for (StateSection& section : state.sections) {
    if (section.id.ends_with("/lapic")) {
      blank(section, 0x390, 4);
      blank(section, 0xa0, 4);
    }
    if (section.id == "vm/pit") {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        blank(section,
              channel * sizeof(kvm_pit_channel_state) +
                  offsetof(kvm_pit_channel_state, count_load_time),
              sizeof(kvm_pit_channel_state::count_load_time));
      }
    }
    if (section.id == "vm/clock") blank(section, 0, section.data.size());
    if (section.id.ends_with("/msrs")) {
      for (std::size_t at = 0; at < section.data.size(); at += sizeof(kvm_msr_entry)) {
        kvm_msr_entry entry{};
        std::memcpy(&entry, section.data.data() + at, sizeof(entry));
        if (entry.index == 0x10) {
          blank(section, at + offsetof(kvm_msr_entry, data), sizeof(entry.data));
        }
      }
    }
  }
  return state;
}

void expect_same(const MachineState& saved, const MachineState& loaded) {
  EXPECT_EQ(first_difference(saved, loaded).value_or("no difference"), "no difference");
  const MachineState one = without_what_moves(saved);
  const MachineState other = without_what_moves(loaded);
  ASSERT_EQ(one.sections.size(), other.sections.size());
  for (std::size_t i = 0; i < one.sections.size(); ++i) {
    EXPECT_TRUE(one.sections[i] == other.sections[i]) << one.sections[i].id;
  }
}

class StateOfManyVcpus : public GuestTest {
 protected:
  /// Moves a paused guest to a fresh machine; `saved` is its state.
  std::unique_ptr<Machine> move_to_fresh(Machine& machine, const MachineState& saved) {
    auto next = make_empty(machine.config());
    copy_memory(machine, *next);
    next->load(saved);
    return next;
  }
};

class State : public StateOfManyVcpus, public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(State, IsTheSameWhenSavedAgain) {
  const auto machine = make_guest(kWorkload, GetParam());
  machine->resume();
  ASSERT_TRUE(output_.wait_for_tick_lines(1));
  machine->pause();
  const MachineState saved = machine->save();
  expect_same(saved, machine->save());
}

TEST_P(State, HasTheTscsOfOneMoment) {
  const auto machine = make_guest(kWorkload, GetParam());
  machine->resume();
  ASSERT_TRUE(output_.wait_for("abc"));
  machine->pause();
  const auto next = move_to_fresh(*machine, machine->save());
  std::vector<std::uint64_t> tscs;
  const MachineState saved = next->save();
  for (const StateSection& section : saved.sections) {
    if (!section.id.ends_with("/msrs")) continue;
    kvm_msr_entry first{};
    ASSERT_GE(section.data.size(), sizeof(first));
    std::memcpy(&first, section.data.data(), sizeof(first));
    ASSERT_EQ(first.index, 0x10U);
    tscs.push_back(first.data);
  }
  EXPECT_EQ(tscs, std::vector<std::uint64_t>(GetParam(), tscs.at(0)));
}

TEST_P(State, IsTheSameAfterItWasLoaded) {
  const auto machine = make_guest(kWorkload, GetParam());
  machine->resume();
  ASSERT_TRUE(output_.wait_for_tick_lines(1));
  machine->pause();
  const MachineState saved = machine->save();
  const auto next = move_to_fresh(*machine, saved);
  expect_same(saved, next->save());
}

TEST_F(StateOfManyVcpus, IsTheSameAfterItWasLoaded) {
  auto machine = make_guest("tick=2 timer=100 regs", 16);
  machine->resume();
  for (int hop = 0; hop < 3; ++hop) {
    ASSERT_TRUE(output_.wait_for_ticks(10)) << "before hop " << hop;
    machine->pause();
    const MachineState saved = machine->save();
    auto next = move_to_fresh(*machine, saved);
    expect_same(saved, next->save());
    machine = std::move(next);
    machine->resume();
  }
  ASSERT_TRUE(output_.wait_for_ticks(10));
  machine->pause();
  EXPECT_FALSE(machine->ended()) << output_.text();
  EXPECT_TRUE(output_.ticks_in_order());
}

TEST_P(State, OfAGuestThatNeverRanIsTheSameAfterItWasLoaded) {
  const auto machine = make_guest(kWorkload, GetParam());
  const MachineState saved = machine->save();
  const auto next = move_to_fresh(*machine, saved);
  expect_same(saved, next->save());
}

// The tiny guest leaves PIT and PICs as they are, so that a guest that uses them is made up.
TEST_P(State, OfTimerAndInterruptControllersIsLoaded) {
  const auto machine = make_guest("", GetParam());
  MachineState saved = machine->save();
  const auto change = [&saved](std::string_view id, auto value, const auto& edit) {
    for (StateSection& section : saved.sections) {
      if (section.id != id) continue;
      ASSERT_EQ(section.data.size(), sizeof(value));
      std::memcpy(&value, section.data.data(), sizeof(value));
      edit(value);
      std::memcpy(section.data.data(), &value, sizeof(value));
    }
  };
  change("vm/pit", kvm_pit_state2{}, [](kvm_pit_state2& pit) {
    pit.channels[0].count = 0x4321;
    pit.channels[0].mode = 2;
    pit.channels[2].count = 0x1234;
  });
  change("vm/pic0", kvm_irqchip{}, [](kvm_irqchip& chip) { chip.chip.pic.imr = 0xb8; });
  change("vm/pic1", kvm_irqchip{}, [](kvm_irqchip& chip) { chip.chip.pic.irq_base = 0x70; });
  change("vm/ioapic", kvm_irqchip{}, [](kvm_irqchip& chip) {
    chip.chip.ioapic.redirtbl[5].fields.vector = 0x35;
    chip.chip.ioapic.redirtbl[5].fields.mask = 1;
  });
  ASSERT_NE(first_difference(machine->save(), saved), std::nullopt);
  const auto next = make_empty(machine->config());
  next->load(saved);
  expect_same(saved, next->save());
}

// When a channel was loaded is told in the clock of the host where that was. No KVM may take it
// over: on another host its count would be anything.
TEST_P(State, OfTheTimerStartsItsCountsAnew) {
  const auto machine = make_guest("", GetParam());
  MachineState saved = machine->save();
  const auto pit_of = [](const MachineState& state) {
    kvm_pit_state2 pit{};
    std::memcpy(&pit, state.find("vm/pit")->data.data(), sizeof(pit));
    return pit;
  };
  kvm_pit_state2 pit = pit_of(saved);
  for (kvm_pit_channel_state& channel : pit.channels) channel.count_load_time = 12345;
  for (StateSection& section : saved.sections) {
    if (section.id == "vm/pit") std::memcpy(section.data.data(), &pit, sizeof(pit));
  }
  const auto next = make_empty(machine->config());
  const std::int64_t before = std::chrono::steady_clock::now().time_since_epoch().count();
  next->load(saved);
  // That of channel 0 KVM only keeps: its count follows from a timer of the host, started anew.
  for (const int channel : {1, 2}) {
    EXPECT_GE(pit_of(next->save()).channels[channel].count_load_time, before) << channel;
  }
}

TEST_P(State, CarriesTheGuestOverTwentyHops) {
  auto machine = make_guest(std::string(kWorkload) + " end=ticks:1500", GetParam());
  machine->resume();
  for (int hop = 0; hop < 20; ++hop) {
    ASSERT_TRUE(output_.wait_for_ticks(10)) << "before hop " << hop;
    machine->pause();
    ASSERT_FALSE(machine->ended()) << machine->ended()->message << output_.text();
    const MachineState saved = machine->save();
    auto next = move_to_fresh(*machine, saved);
    expect_same(saved, next->save());
    ASSERT_FALSE(HasFailure()) << "at hop " << hop;
    machine = std::move(next);
    machine->resume();
  }
  const auto end = wait_end(*machine);
  ASSERT_TRUE(end) << output_.text();
  EXPECT_EQ(end->kind, GuestEnd::Kind::exit_code) << end->message;
  EXPECT_EQ(end->code, 0) << output_.text();
  EXPECT_EQ(output_.ticks().size(), 1500U);
  EXPECT_TRUE(output_.ticks_in_order());
}

INSTANTIATE_TEST_SUITE_P(Vcpus, State, ::testing::Values(1U, 2U),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace vmm
