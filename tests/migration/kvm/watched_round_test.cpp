#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <thread>
#include <tuple>
#include <vector>

#include "migration/pages/round.hpp"
#include "tests/vmm/kvm/guest_fixture.hpp"

/// A first round that is watched, over a log of a real VM of 32 MiB: four chunks of 8 MiB.
namespace migration {
namespace {

constexpr vmm::PageIndex kChunkPages = 2048;

class WatchedRound : public vmm::GuestTest {
 protected:
  static vmm::PageRange all_of(vmm::Machine& machine) { return {0, machine.memory().page_count()}; }
  /// As a device does: the log has it.
  static void write(vmm::Machine& machine, vmm::PageIndex page) {
    const std::array data{std::byte{1}};
    machine.memory().write(vmm::GuestAddress{page * vmm::kPageSize}, data);
  }
  /// A guest that has not run, and all of whose pages were touched.
  std::unique_ptr<vmm::Machine> paused_guest() {
    auto machine = make_guest("tick=1");
    for (vmm::PageIndex page = 0; page < machine->memory().page_count(); ++page) {
      write(*machine, page);
    }
    machine->dirty_log().start();
    std::ignore = machine->dirty_log().read();  // so that these writes are no longer to come
    return machine;
  }
};

TEST_F(WatchedRound, HoldsBackWhatIsWrittenAgainAndAgain) {
  const auto machine = paused_guest();
  const std::uint64_t pages = machine->memory().page_count();
  PreCopyRound round(1, machine->memory(), &machine->dirty_log());
  ASSERT_TRUE(round.next_chunk());
  const vmm::PageIndex gone = 7;  // handed out
  const vmm::PageIndex once = kChunkPages + 1;
  const vmm::PageIndex hot = kChunkPages + 2;
  const vmm::PageIndex hot_too = pages - 1;
  round.watch_writes();
  for (int sample = 0; sample < 2; ++sample) {
    for (const vmm::PageIndex page : {gone, hot, hot_too}) write(*machine, page);
    if (sample == 0) write(*machine, once);
    round.watch_writes();
  }
  while (round.next_chunk()) {
  }
  EXPECT_EQ(round.count(), pages);
  EXPECT_EQ(round.held_back(), 2U);
  EXPECT_EQ(round.handed_out().ranges(),
            (std::vector<vmm::PageRange>{{0, hot}, {hot + 1, hot_too - hot - 1}}));
  EXPECT_EQ(round.left().ranges(), (std::vector<vmm::PageRange>{{hot, 1}, {hot_too, 1}}));
  EXPECT_EQ(machine->dirty_log().read().ranges(), (std::vector<vmm::PageRange>{{gone, 1}}));
}

TEST_F(WatchedRound, SendsAPageThatIsHotNoMore) {
  const auto machine = paused_guest();
  PreCopyRound round(1, machine->memory(), &machine->dirty_log());
  round.watch_writes();
  for (int hot = 0; hot < 2; ++hot) {
    write(*machine, kChunkPages);
    round.watch_writes();
  }
  for (unsigned quiet = 1; quiet < RoundPages::kSamples; ++quiet) round.watch_writes();
  write(*machine, kChunkPages);  // the third time, but the first that counts
  round.watch_writes();
  while (round.next_chunk()) {
  }
  EXPECT_EQ(round.held_back(), 0U);
  EXPECT_TRUE(round.left().empty());
}

TEST_F(WatchedRound, LeavesWhatItDidNotHandOut) {
  const auto machine = paused_guest();
  const std::uint64_t pages = machine->memory().page_count();
  // A log that was started long before, as of a VM whose changes are tracked, knows none of it.
  machine->dirty_log().clear_all(all_of(*machine));
  for (const bool watched : {true, false}) {
    PreCopyRound round(1, machine->memory(), &machine->dirty_log());
    ASSERT_TRUE(round.next_chunk());
    if (watched) round.watch_writes();
    round.stop();
    EXPECT_FALSE(round.next_chunk());
    EXPECT_EQ(round.left().ranges(),
              (std::vector<vmm::PageRange>{{kChunkPages, pages - kChunkPages}}));
  }
}

TEST_F(WatchedRound, IsNotOneOfAStoppedGuestNorOneOfKnownPages) {
  const auto machine = paused_guest();
  const vmm::PageSet known(machine->memory().page_count());
  EXPECT_FALSE(PreCopyRound(1, machine->memory(), nullptr).can_be_watched());
  EXPECT_FALSE(PreCopyRound(1, machine->memory(), &machine->dirty_log(), known).can_be_watched());
}

// The copy that a destination would have, made by two channels while the guest writes and a third
// thread watches: what differs in the end must be dirty in the log, or left.
TEST_F(WatchedRound, LosesNoWriteOfARunningGuest) {
  const auto machine =
      make_guest("tick=1 fill=24 zero=0 random=50 text=50 dirty=20000 skew=80/10", 2);
  machine->resume();
  ASSERT_TRUE(output_.wait_for_tick_lines(1));
  machine->dirty_log().start();
  PreCopyRound round(1, machine->memory(), &machine->dirty_log());
  std::vector<std::byte> copy(all_of(*machine).count * vmm::kPageSize);
  const auto channel = [&] {
    while (const auto chunk = round.next_chunk()) {
      for (const vmm::PageRange& range : chunk->data) {
        std::ranges::copy(machine->memory().pages(range),
                          copy.begin() + static_cast<std::ptrdiff_t>(range.first * vmm::kPageSize));
      }
      ASSERT_TRUE(output_.wait_for_ticks(5));
    }
  };
  round.watch_writes();
  for (int sample = 0; sample < 3; ++sample) {
    ASSERT_TRUE(output_.wait_for_ticks(10));
    round.watch_writes();
  }
  {
    const std::jthread one(channel);
    const std::jthread two(channel);
    while (round.taken_up() < all_of(*machine).count) {
      ASSERT_TRUE(output_.wait_for_ticks(1));
      round.watch_writes();
    }
  }
  machine->pause();
  ASSERT_FALSE(machine->ended()) << output_.text();
  EXPECT_GT(round.held_back(), 0U);
  vmm::PageSet dirty = machine->dirty_log().read();
  dirty |= round.left();
  EXPECT_LT(dirty.count(), all_of(*machine).count / 2);
  for (vmm::PageIndex page = 0; page < all_of(*machine).count; ++page) {
    const auto now = machine->memory().pages({page, 1});
    const auto then = copy.begin() + static_cast<std::ptrdiff_t>(page * vmm::kPageSize);
    ASSERT_TRUE(dirty.test(page) || std::equal(now.begin(), now.end(), then)) << "page " << page;
  }
}

}  // namespace
}  // namespace migration
