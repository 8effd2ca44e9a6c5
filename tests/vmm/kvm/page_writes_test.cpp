#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "devices/standard.hpp"
#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/boot/boot.hpp"

namespace vmm {
namespace {

// In pages that the guest never touches.
constexpr std::uint64_t kWallClock = 30 << 20;
constexpr std::uint64_t kSystemTime = kWallClock + kPageSize;
constexpr std::uint64_t kStolenTime = kSystemTime + kPageSize;
constexpr std::array<kvm_msr_entry, 3> kPageMsrs = {{{0x4b564d00, 0, kWallClock},
                                                     {0x4b564d01, 0, kSystemTime | 1},
                                                     {0x4b564d03, 0, kStolenTime | 1}}};

/// A guest in RAM that another machine has too, for which KVM writes the time into its pages.
class PageWrites : public GuestTest {
 protected:
  using When = Machine::PageWrites;

  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    MachineConfig config;
    config.id = make_uuid();
    config.memory_bytes = 32_MiB;
    here_ = std::make_unique<Machine>(Kvm(), config, GuestMemory::shared(config.memory_bytes));
    output_.attach(*here_);
    load_kernel(*here_, BootFiles({FERRY_GUEST_IMAGE, {}, "tick=2 fill=4 check"}),
                devices::platform());
    ASSERT_EQ(here_->vcpu(0).kvm().set_msrs(kPageMsrs), kPageMsrs.size());
    here_->resume();
    ASSERT_TRUE(output_.wait_for_ticks(20));
    here_->pause();
    state_ = here_->save();
    UniqueFd file(::dup(here_->memory().file()));
    there_ = std::make_unique<Machine>(
        Kvm(), here_->config(),
        GuestMemory(config.memory_bytes, SharedRam(std::move(file), config.memory_bytes)));
    output_.attach(*there_);
    before_ = ram();
  }

  [[nodiscard]] std::vector<std::byte> ram() {
    const auto bytes = here_->memory().pages({0, here_->memory().page_count()});
    return {bytes.begin(), bytes.end()};
  }

  std::unique_ptr<Machine> here_;
  std::unique_ptr<Machine> there_;
  MachineState state_;
  std::vector<std::byte> before_;
};

TEST_F(PageWrites, ComeWithTheStateUnlessTheyAreToWait) {
  there_->load(state_);
  EXPECT_NE(ram(), before_);
}

TEST_F(PageWrites, WaitForTheGuestToBeResumed) {
  there_->load(state_, When::at_resume);
  EXPECT_EQ(first_difference(state_, there_->save()), std::nullopt);
  EXPECT_EQ(ram(), before_);
  there_->catch_up();
  EXPECT_EQ(ram(), before_);
  there_->resume();
  EXPECT_TRUE(output_.wait_for_ticks(20));
  there_->pause();
  EXPECT_TRUE(output_.ticks_in_order());
  // The guest has a page of its own for the clock.
  std::array<kvm_msr_entry, 3> mine = kPageMsrs;
  std::array<kvm_msr_entry, 3> theirs = kPageMsrs;
  ASSERT_EQ(here_->vcpu(0).kvm().get_msrs(mine), mine.size());
  ASSERT_EQ(there_->vcpu(0).kvm().get_msrs(theirs), theirs.size());
  for (std::size_t i = 0; i < mine.size(); ++i) EXPECT_EQ(theirs.at(i).data, mine.at(i).data);
}

TEST_F(PageWrites, LeaveTheGuestHereAsItWasWhenTheyNeverCome) {
  there_->load(state_, When::at_resume);
  there_.reset();
  EXPECT_EQ(ram(), before_);
  here_->resume();
  EXPECT_TRUE(output_.wait_for_ticks(20));
  here_->pause();
  EXPECT_TRUE(output_.ticks_in_order());
}

}  // namespace
}  // namespace vmm
