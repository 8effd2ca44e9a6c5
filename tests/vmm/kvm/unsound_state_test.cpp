#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/kvm/kvm_api.hpp"

namespace vmm {
namespace {

/// What a peer may send: each is loaded into a machine of its own.
class UnsoundState : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    const auto machine = make_guest("tick=1");
    machine->resume();
    ASSERT_TRUE(output_.wait_for("abc"));
    machine->pause();
    config_ = machine->config();
    state_ = machine->save();
    ASSERT_FALSE(state_.sections.empty());
  }

  void expect_refused(const MachineState& state, const std::string& name) {
    const auto machine = make_empty(config_);
    try {
      machine->load(state);
      ADD_FAILURE() << "loaded, with an unsound " << name;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos)
          << "does not name " << name << ": " << error.what();
    }
  }

  MachineConfig config_;
  MachineState state_;
};

TEST_F(UnsoundState, LoadsWhenItIsSound) {
  const auto machine = make_empty(config_);
  EXPECT_NO_THROW(machine->load(state_));
}

TEST_F(UnsoundState, IsRefusedWhenASectionIsMissing) {
  for (std::size_t i = 0; i < state_.sections.size(); ++i) {
    MachineState state = state_;
    state.sections.erase(state.sections.begin() + static_cast<std::ptrdiff_t>(i));
    expect_refused(state, state_.sections[i].id);
  }
}

TEST_F(UnsoundState, IsRefusedWhenASectionIsTruncated) {
  for (std::size_t i = 0; i < state_.sections.size(); ++i) {
    if (state_.sections[i].data.empty()) continue;
    MachineState state = state_;
    state.sections[i].data.pop_back();
    expect_refused(state, state_.sections[i].id);
  }
}

TEST_F(UnsoundState, IsRefusedWhenASectionIsTooLong) {
  for (std::size_t i = 0; i < state_.sections.size(); ++i) {
    MachineState state = state_;
    state.sections[i].data.push_back(std::byte{0});
    expect_refused(state, state_.sections[i].id);
  }
}

TEST_F(UnsoundState, IsRefusedWhenASectionIsThereTwice) {
  for (const StateSection& section : state_.sections) {
    MachineState state = state_;
    state.sections.push_back(section);
    expect_refused(state, section.id);
  }
}

TEST_F(UnsoundState, IsRefusedWhenASectionIsOfAnotherVersion) {
  for (std::size_t i = 0; i < state_.sections.size(); ++i) {
    MachineState state = state_;
    state.sections[i].version += 1;
    expect_refused(state, state_.sections[i].id);
  }
}

TEST_F(UnsoundState, IsRefusedWhenASectionIsUnknown) {
  for (const char* id : {"vm/future", "device/disk0", "vcpu1/regs", ""}) {
    MachineState state = state_;
    state.sections.push_back({id, 1, {}});
    expect_refused(state, id);
  }
}

TEST_F(UnsoundState, IsRefusedWhenTheInterruptControllersAreSwapped) {
  MachineState state = state_;
  StateSection* pic0 = nullptr;
  StateSection* pic1 = nullptr;
  for (StateSection& section : state.sections) {
    if (section.id == "vm/pic0") pic0 = &section;
    if (section.id == "vm/pic1") pic1 = &section;
  }
  ASSERT_TRUE(pic0 != nullptr && pic1 != nullptr);
  std::swap(pic0->data, pic1->data);
  expect_refused(state, "vm/pic0");
}

TEST_F(UnsoundState, OfOneVcpuAmongManyIsRefused) {
  config_.cpus = 16;
  state_ = make_empty(config_)->save();
  const auto add_msr = [this](const std::string& id, kvm_msr_entry msr) {
    const auto section = std::ranges::find(state_.sections, id, &StateSection::id);
    ASSERT_NE(section, state_.sections.end());
    const auto bytes = std::as_bytes(std::span(&msr, 1));
    section->data.insert(section->data.end(), bytes.begin(), bytes.end());
  };
  add_msr("vcpu12/msrs", {0xdead000c, 0, 1});
  expect_refused(state_, "0xdead000c");
  add_msr("vcpu9/msrs", {0xdead0009, 0, 1});
  expect_refused(state_, "0xdead0009");
}

TEST_F(UnsoundState, OfAMachineWithMoreVcpusIsRefused) {
  config_.cpus = 2;
  expect_refused(state_, "vcpu1/");
}

}  // namespace
}  // namespace vmm
