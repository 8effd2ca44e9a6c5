#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <vector>

#include "tests/vmm/kvm/guest_fixture.hpp"

namespace vmm {
namespace {

class DirtyLogging : public GuestTest {
 protected:
  /// A running guest that writes pages, with the log started and everything cleared once.
  std::unique_ptr<Machine> start(const std::string& cmdline, std::uint32_t cpus = 1) {
    auto machine = make_guest(cmdline, cpus);
    machine->resume();
    EXPECT_TRUE(output_.wait_for_tick_lines(1));
    machine->dirty_log().start();
    machine->dirty_log().clear_all(all_of(*machine));
    return machine;
  }
  static PageRange all_of(Machine& machine) { return {0, machine.memory().page_count()}; }
  /// As a round of a migration takes them.
  static PageSet take(Machine& machine) {
    PageSet dirty = machine.dirty_log().read();
    machine.dirty_log().clear(dirty, all_of(machine));
    return dirty;
  }
  /// The pages that differ from what they were.
  static PageSet changed(Machine& machine, const std::vector<std::byte>& before) {
    PageSet pages(machine.memory().page_count());
    for (PageIndex page = 0; page < pages.pages(); ++page) {
      const auto now = machine.memory().pages({page, 1});
      const auto then = before.begin() + static_cast<std::ptrdiff_t>(page * kPageSize);
      if (!std::equal(now.begin(), now.end(), then)) pages.set(page);
    }
    return pages;
  }
};

class DirtyLoggingWithVcpus : public DirtyLogging,
                              public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(DirtyLoggingWithVcpus, HasEveryPageThatTheGuestWroteSinceItWasCleared) {
  const auto machine = start("tick=1 fill=8 dirty=2000 regs", GetParam());
  for (int round = 0; round < 5; ++round) {
    machine->pause();
    take(*machine);
    const auto bytes = machine->memory().pages(all_of(*machine));
    const std::vector<std::byte> before(bytes.begin(), bytes.end());
    machine->resume();
    ASSERT_TRUE(output_.wait_for_ticks(30));
    machine->pause();
    ASSERT_FALSE(machine->ended()) << output_.text();
    const PageSet dirty = machine->dirty_log().read();
    PageSet missed = changed(*machine, before);
    EXPECT_GT(missed.count(), 10U);  // the guest did write
    EXPECT_LT(dirty.count(), machine->memory().page_count() / 2);
    missed -= dirty;
    EXPECT_TRUE(missed.empty()) << "the log lacks " << missed.count() << " pages, first "
                                << missed.ranges().front().first;
    machine->resume();
  }
}

INSTANTIATE_TEST_SUITE_P(Vcpus, DirtyLoggingWithVcpus, ::testing::Values(1U, 2U),
                         ::testing::PrintToStringParamName());

// The rule of pre-copy: clear, then read. A copy that is brought up to date that way while the
// guest runs is exact once the guest is stopped.
TEST_F(DirtyLogging, KeepsACopyExactThatFollowsARunningGuest) {
  const auto machine = start("tick=1 fill=8 dirty=5000 regs", 2);
  const auto bytes = machine->memory().pages(all_of(*machine));
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  const auto follow = [&](const PageSet& dirty) {
    for (const PageRange& range : dirty.ranges()) {
      std::ranges::copy(machine->memory().pages(range),
                        copy.begin() + static_cast<std::ptrdiff_t>(range.first * kPageSize));
    }
  };
  for (int round = 0; round < 10; ++round) {
    ASSERT_TRUE(output_.wait_for_ticks(5));
    follow(take(*machine));
  }
  machine->pause();
  ASSERT_FALSE(machine->ended()) << output_.text();
  follow(take(*machine));
  EXPECT_EQ(changed(*machine, copy).count(), 0U);
}

TEST_F(DirtyLogging, StaysEmptyWhileTheGuestIsPaused) {
  const auto machine = start("tick=1 fill=4 dirty=2000", 2);
  ASSERT_TRUE(output_.wait_for_ticks(10));
  machine->pause();
  EXPECT_FALSE(take(*machine).empty());
  EXPECT_TRUE(machine->dirty_log().read().empty());
  EXPECT_TRUE(machine->dirty_log().read().empty());
}

TEST_F(DirtyLogging, KeepsPagesUntilTheyAreCleared) {
  const auto machine = start("tick=1 fill=4 dirty=2000");
  ASSERT_TRUE(output_.wait_for_ticks(10));
  machine->pause();
  const PageSet dirty = machine->dirty_log().read();
  EXPECT_EQ(machine->dirty_log().read(), dirty);
  const PageRange half{0, machine->memory().page_count() / 2};
  machine->dirty_log().clear(dirty, half);
  PageSet rest = dirty;
  rest.reset(half);
  EXPECT_EQ(machine->dirty_log().read(), rest);
}

TEST_F(DirtyLogging, HasThePagesThatADeviceWrote) {
  const auto machine = start("tick=1");
  machine->pause();
  take(*machine);
  const std::array<std::byte, 16> data{};
  machine->memory().write(GuestAddress{20_MiB}, data);
  machine->memory().write(GuestAddress{24_MiB - 8}, data);  // across a page's end
  PageSet wanted(machine->memory().page_count());
  wanted.set(PageIndex{20_MiB / kPageSize});
  wanted.set(PageRange{24_MiB / kPageSize - 1, 2});
  EXPECT_EQ(machine->dirty_log().read(), wanted);
  EXPECT_EQ(take(*machine), wanted);  // still there: nothing was cleared
  EXPECT_TRUE(machine->dirty_log().read().empty());
}

// KVM has a slot for each 4 GiB of it, and is not asked of those that nobody touched.
TEST_F(DirtyLogging, HasWhatWasWrittenAnywhereInALargeRam) {
  constexpr std::uint64_t kStep = PageSet::kBlockPages * 128;
  const auto machine = make_guest("tick=1", 1, 20_GiB);
  machine->dirty_log().start();
  PageSet touched(machine->memory().page_count());
  for (PageIndex first = 0; first < touched.pages(); first += kStep) {
    const std::uint64_t pages = std::min(kStep, touched.pages() - first);
    machine->dirty_log().clear_touched({first, pages}, touched);
  }
  EXPECT_LT(touched.count(), 10000U);
  EXPECT_TRUE(machine->dirty_log().read().empty());
  PageSet wanted(touched.pages());
  const std::array<std::byte, 1> data{};
  for (const std::uint64_t gib : {1U, 5U, 8U, 12U, 19U}) {
    machine->memory().write(GuestAddress{gib * 1_GiB}, data);
    wanted.set(gib * 1_GiB / kPageSize - (gib < 4 ? 0 : 1_GiB / kPageSize));
  }
  machine->resume();
  ASSERT_TRUE(output_.wait_for_tick_lines(1));
  machine->pause();
  PageSet dirty = machine->dirty_log().read();
  EXPECT_GT(dirty.count(), wanted.count());  // the guest has written, too
  wanted -= dirty;
  EXPECT_TRUE(wanted.empty()) << "the log lacks page " << wanted.ranges().front().first;
}

TEST_F(DirtyLogging, CanBeStartedAgain) {
  const auto machine = start("tick=1 fill=4 dirty=2000");
  machine->dirty_log().stop();
  ASSERT_TRUE(output_.wait_for_ticks(10));
  machine->dirty_log().start();
  EXPECT_EQ(machine->dirty_log().read().count(), machine->memory().page_count());
  take(*machine);
  ASSERT_TRUE(output_.wait_for_ticks(30));
  machine->pause();
  const auto count = machine->dirty_log().read().count();
  EXPECT_GT(count, 0U);
  EXPECT_LT(count, machine->memory().page_count() / 2);
}

// Whether such a range is cleared or left in the log, depending on the kernel: it is not dirty, and
// a page of it that is touched later is, until it is cleared.
TEST_F(DirtyLogging, HasWhatDevicesWroteBeforeItBeganOnlyUntilThatIsCleared) {
  const auto machine = make_guest("tick=1 fill=4");
  const std::array<std::byte, 1> data{std::byte{1}};
  const PageIndex before = 3;
  const PageIndex later = 5;
  machine->memory().write(GuestAddress{before * kPageSize}, data);
  DirtyLog& log = machine->dirty_log();
  log.start();
  log.clear_all(all_of(*machine));
  EXPECT_FALSE(log.read().test(before));
  machine->memory().write(GuestAddress{later * kPageSize}, data);
  EXPECT_TRUE(log.read().test(later));
}

TEST_F(DirtyLogging, LeavesOutWhatNobodyEverTouched) {
  const auto machine = make_guest("tick=1 fill=4");
  machine->resume();
  ASSERT_TRUE(output_.wait_for_tick_lines(1));
  machine->pause();
  GuestMemory& memory = machine->memory();
  DirtyLog& log = machine->dirty_log();
  log.start();
  PageSet touched(memory.page_count());
  constexpr std::uint64_t kStep = 64;
  for (const PageIndex start : {PageIndex{0}, PageIndex{kStep}}) {  // out of order, as two channels
    for (PageIndex first = start; first < memory.page_count(); first += 2 * kStep) {
      log.clear_touched({first, kStep}, touched);
    }
  }
  PageSet populated(memory.page_count());
  memory.add_populated(all_of(*machine), populated);
  EXPECT_EQ(touched, populated);
  EXPECT_LT(touched.count(), memory.page_count() / 2);
  EXPECT_TRUE(log.read().empty());

  const PageIndex page = 28_MiB / kPageSize + 3;
  ASSERT_FALSE(touched.test(page));
  const std::array<std::byte, 1> data{std::byte{1}};
  memory.write(GuestAddress{page * kPageSize}, data);
  const PageSet dirty = take(*machine);
  EXPECT_TRUE(dirty.test(page));
  EXPECT_LE(dirty.count(), 512U);  // a huge page may come whole
  EXPECT_TRUE(log.read().empty());
  memory.write(GuestAddress{page * kPageSize}, data);
  EXPECT_EQ(log.read().ranges(), (std::vector<PageRange>{{page, 1}}));
}

}  // namespace
}  // namespace vmm
