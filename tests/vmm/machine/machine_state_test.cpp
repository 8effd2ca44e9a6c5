#include "vmm/machine/machine_state.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <stdexcept>
#include <string>

#include "vmm/kvm/kvm_api.hpp"
#include "vmm/machine/state_sections.hpp"

namespace vmm {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

struct Parts {
  kvm_regs regs{};
  kvm_clock_data clock{};
  kvm_pit_state2 pit{};
  kvm_lapic_state lapic{};
  kvm_msr_entry tsc{.index = 0x10, .reserved = 0, .data = 5000};
  kvm_msr_entry star{.index = 0xc0000081, .reserved = 0, .data = 7};
};

MachineState state_of(const Parts& parts) {
  MachineState state;
  add_section(state, "vm/clock", parts.clock);
  add_section(state, "vm/pit", parts.pit);
  add_section(state, "vcpu0/regs", parts.regs);
  add_section(state, "vcpu0/lapic", parts.lapic);
  add_section(state, "vcpu0/msrs", std::array{parts.tsc, parts.star});
  return state;
}

/// What first_difference says when the loaded state differs by what `change` does.
std::string difference(const std::function<void(Parts&)>& change) {
  Parts saved;
  saved.clock.clock = kSecond;
  Parts loaded = saved;
  change(loaded);
  return first_difference(state_of(saved), state_of(loaded)).value_or("");
}

TEST(MachineState, EqualsItself) {
  EXPECT_EQ(difference([](Parts&) {}), "");
}

TEST(MachineState, NamesTheRegisterThatDiffers) {
  const std::string what = difference([](Parts& loaded) { loaded.regs.r9 = 0xab; });
  EXPECT_EQ(what, "vcpu0/regs r9 (offset 72): 0x0 saved, 0xab loaded");
}

TEST(MachineState, NamesTheMsrThatDiffers) {
  const std::string what = difference([](Parts& loaded) { loaded.star.data = 8; });
  EXPECT_EQ(what, "vcpu0/msrs MSR 0xc0000081: 0x7 saved, 0x8 loaded");
}

TEST(MachineState, ComparesTheMsrsThatBothHostsList) {
  const auto with = [](const auto& msrs) {
    MachineState state;
    add_section(state, "vcpu0/msrs", msrs);
    return state;
  };
  const kvm_msr_entry tsc{.index = 0x10, .reserved = 0, .data = 5000};
  const kvm_msr_entry star{.index = 0xc0000081, .reserved = 0, .data = 7};
  const kvm_msr_entry other_star{.index = 0xc0000081, .reserved = 0, .data = 8};
  const kvm_msr_entry spec_ctrl{.index = 0x48, .reserved = 0, .data = 1};
  const kvm_msr_entry xss{.index = 0xda0, .reserved = 0, .data = 2};
  const MachineState saved = with(std::array{tsc, spec_ctrl, star});
  EXPECT_EQ(first_difference(saved, with(std::array{tsc, star, xss})), std::nullopt);
  EXPECT_EQ(first_difference(saved, with(std::array{star, tsc})), std::nullopt);
  EXPECT_EQ(first_difference(saved, with(std::array{xss, tsc, other_star, spec_ctrl})),
            "vcpu0/msrs MSR 0xc0000081: 0x7 saved, 0x8 loaded");
}

TEST(MachineState, LetsClocksRunOnAndNotBack) {
  EXPECT_EQ(difference([](Parts& loaded) { loaded.tsc.data += 1'000'000; }), "");
  EXPECT_NE(difference([](Parts& loaded) { loaded.tsc.data -= 1; }), "");
  EXPECT_EQ(difference([](Parts& loaded) { loaded.clock.clock += kSecond; }), "");
  EXPECT_NE(difference([](Parts& loaded) { loaded.clock.clock -= 1; }), "");
  EXPECT_NE(difference([](Parts& loaded) { loaded.clock.clock += 3600 * kSecond; }), "");
}

TEST(MachineState, LetsTimerCountsRunDown) {
  EXPECT_EQ(difference([](Parts& loaded) { loaded.lapic.regs[0x390] = 1; }), "");
  EXPECT_NE(difference([](Parts& loaded) { loaded.lapic.regs[0x380] = 1; }), "");
  EXPECT_EQ(difference([](Parts& loaded) { loaded.pit.channels[1].count_load_time = 9; }), "");
  EXPECT_NE(difference([](Parts& loaded) { loaded.pit.channels[1].count = 9; }), "");
}

TEST(MachineState, NamesASectionThatIsMissingOrHasAnotherForm) {
  const MachineState saved = state_of({});
  MachineState loaded = saved;
  loaded.sections.erase(loaded.sections.begin() + 1);
  EXPECT_EQ(first_difference(saved, loaded), "vm/pit is missing");
  loaded = saved;
  loaded.sections[2].data.pop_back();
  EXPECT_EQ(first_difference(saved, loaded), "vcpu0/regs has another version or size");
  loaded = saved;
  loaded.sections[2].version = 2;
  EXPECT_EQ(first_difference(saved, loaded), "vcpu0/regs has another version or size");
}

TEST(SectionReader, GivesEachSectionOnce) {
  const MachineState state = state_of({});
  SectionReader reader(state);
  EXPECT_TRUE(reader.has("vm/pit"));
  EXPECT_FALSE(reader.has("vm/irqchip"));
  static_cast<void>(reader.take_struct<kvm_regs>("vcpu0/regs"));
  EXPECT_THROW(static_cast<void>(reader.take("vm/irqchip")), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(reader.take_struct<kvm_sregs>("vm/pit")), std::invalid_argument);
  EXPECT_THROW(reader.finish(), std::invalid_argument);  // most were not taken
}

TEST(SectionReader, RefusesAnotherVersionByName) {
  MachineState state = state_of({});
  state.sections[2].version = 2;
  SectionReader reader(state);
  try {
    static_cast<void>(reader.take_struct<kvm_regs>("vcpu0/regs"));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("vcpu0/regs"), std::string::npos);
  }
}

}  // namespace
}  // namespace vmm
