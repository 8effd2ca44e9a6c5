#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/kvm/kvm_api.hpp"
#include "vmm/machine/guest_time.hpp"
#include "vmm/os/boot_clock.hpp"

namespace vmm {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

/// A busy host may hold this process up between two calls, of which one reads a clock and the other
/// sets or reads another.
constexpr nanoseconds kSlack = 300ms;

template <typename Struct>
Struct struct_of(const MachineState& state, std::string_view id) {
  const StateSection* const section = state.find(id);
  if (section == nullptr) throw std::runtime_error("a section is missing");
  Struct value{};
  std::memcpy(&value, section->data.data(), sizeof(value));
  return value;
}

nanoseconds clock_of(const MachineState& state) {
  return nanoseconds(struct_of<kvm_clock_data>(state, "vm/clock").clock);
}

/// The TSC is the first.
std::uint64_t tsc_of(const MachineState& state) {
  const auto tsc = struct_of<kvm_msr_entry>(state, "vcpu0/msrs");
  EXPECT_EQ(tsc.index, kTscMsr);
  return tsc.data;
}

/// A guest that was saved elsewhere, and goes on here.
class GuestClock : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    const auto machine = make_guest("", 2);
    config_ = machine->config();
    saved_at_ = BootClock::now();
    saved_ = machine->save();
  }

  /// A machine with that state, as if it had come `ago`.
  std::unique_ptr<Machine> load(nanoseconds ago = 0ns) {
    auto machine = make_empty(config_);
    saved_.as_of = BootClock::now() - ago;
    load_began_ = BootClock::now();
    machine->load(saved_);
    return machine;
  }

  /// The guest's clock now is ahead of the saved one by `expected`, and by what has passed here.
  void expect_ahead(Machine& machine, nanoseconds expected) {
    const MachineState now = machine.save();
    const nanoseconds ahead = clock_of(now) - clock_of(saved_);
    EXPECT_GE(ahead, expected - kSlack);
    EXPECT_LE(ahead, expected + (BootClock::now() - load_began_) + kSlack);
  }

  MachineConfig config_;
  MachineState saved_;
  BootClock::time_point saved_at_;
  BootClock::time_point load_began_;
};

TEST_F(GuestClock, IsLoadedAsItWasSaved) {
  expect_ahead(*load(10min), 0ns);
  EXPECT_EQ(first_difference(saved_, load(10min)->save()).value_or("no difference"),
            "no difference");
}

TEST_F(GuestClock, GoesOnByWhatTheSourceHasMeasured) {
  const auto machine = load();
  machine->saved_before(30s);
  machine->catch_up();
  expect_ahead(*machine, 30s);
}

TEST_F(GuestClock, GoesOnByWhatWasMeasuredHereWhereNobodySaysMore) {
  const auto machine = load(20s);
  machine->catch_up();
  expect_ahead(*machine, 20s);
}

TEST_F(GuestClock, GoesOnByTheLongestOfWhatWasMeasured) {
  const auto machine = load(20s);
  for (const nanoseconds time : {nanoseconds(1s), nanoseconds(40s), nanoseconds(30s)}) {
    machine->saved_before(time);
  }
  machine->catch_up();
  expect_ahead(*machine, 40s);
}

TEST_F(GuestClock, CatchesUpOnce) {
  const auto machine = load(20s);
  machine->catch_up();
  machine->saved_before(1h);
  machine->catch_up();
  expect_ahead(*machine, 20s);
}

TEST_F(GuestClock, GoesBackForNobody) {
  const auto machine = load(-1h);
  machine->saved_before(-1h);
  machine->catch_up();
  expect_ahead(*machine, 0ns);
}

// As where the wall clocks of two hosts are an hour apart, either way.
TEST_F(GuestClock, KnowsNoWallClock) {
  for (const nanoseconds skew : {nanoseconds(1h), nanoseconds(-1h)}) {
    for (StateSection& section : saved_.sections) {
      if (section.id != "vm/clock") continue;
      auto clock = struct_of<kvm_clock_data>(saved_, "vm/clock");
      const nanoseconds wall = std::chrono::system_clock::now().time_since_epoch() + skew;
      clock.realtime = static_cast<std::uint64_t>(wall.count());
      clock.flags = KVM_CLOCK_REALTIME;
      std::memcpy(section.data.data(), &clock, sizeof(clock));
    }
    const auto machine = load();
    machine->saved_before(2s);
    machine->catch_up();
    expect_ahead(*machine, 2s);
  }
}

TEST_F(GuestClock, TakesTheTscsAlong) {
  const auto machine = load();
  const auto offset = machine->vcpu(0).kvm().tsc_offset();
  machine->saved_before(30s);
  machine->catch_up();
  // Some KVM does not let us set the TSC's offset: the guest reads the host's TSC there.
  const nanoseconds added = machine->vcpu(0).kvm().tsc_offset() == offset ? 0s : 30s;
  const std::uint64_t cycles = tsc_of(machine->save()) - tsc_of(saved_);
  const auto ahead =
      nanoseconds(static_cast<std::int64_t>(static_cast<double>(cycles) * 1e6 / config_.tsc_khz));
  EXPECT_GE(ahead, added - kSlack);
  EXPECT_LE(ahead, added + (BootClock::now() - saved_at_) + kSlack);
  EXPECT_EQ(machine->vcpu(0).kvm().tsc_offset(), machine->vcpu(1).kvm().tsc_offset());
}

}  // namespace
}  // namespace vmm
