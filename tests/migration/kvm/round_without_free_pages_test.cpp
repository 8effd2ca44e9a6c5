#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <tuple>
#include <vector>

#include "migration/pages/round.hpp"
#include "tests/vmm/kvm/guest_fixture.hpp"

/// A first round beside which a guest names free pages, over a log of a real VM of 32 MiB.
namespace migration {
namespace {

using Ranges = std::vector<vmm::PageRange>;
constexpr vmm::PageIndex kChunk = RoundPages::kChunkPages;
constexpr vmm::PageIndex kFirstFree = kChunk + 10;
constexpr std::uint64_t kFreeCount = 20;

class RoundWithoutFreePages : public vmm::GuestTest {
 protected:
  void SetUp() override {
    vmm::GuestTest::SetUp();
    if (IsSkipped()) return;
    machine_ = make_guest("tick=1");
    pages_ = machine_->memory().page_count();
    for (vmm::PageIndex page = 0; page < pages_; ++page) write(page);
    log().start();
    vmm::PageSet used(pages_);
    log().clear_touched({0, pages_}, used);
    EXPECT_EQ(used.count(), pages_);
    std::ignore = log().read();  // what was written before
    log().clear_all({0, pages_});
    free_ = std::make_unique<FreePages>(machine_->memory(), used, [] {});
    round_ = std::make_unique<PreCopyRound>(1, machine_->memory(), log(), *free_);
  }

  vmm::DirtyLog& log() { return machine_->dirty_log(); }
  void write(vmm::PageIndex page, int value = 1) {
    const std::array data{static_cast<std::byte>(value)};
    machine_->memory().write(vmm::GuestAddress{page * vmm::kPageSize}, data);
  }
  void name(vmm::PageRange range) { free_->free({&range, 1}); }
  void hand_out_all() {
    while (round_->next_chunk()) {
    }
  }

  std::unique_ptr<vmm::Machine> machine_;
  std::uint64_t pages_ = 0;
  std::unique_ptr<FreePages> free_;
  std::unique_ptr<PreCopyRound> round_;
};

TEST_F(RoundWithoutFreePages, LeavesOutWhatIsNamedInTime) {
  ASSERT_TRUE(round_->next_chunk());
  name({0, 5});  // too late
  name({kFirstFree, kFreeCount});
  hand_out_all();
  EXPECT_EQ(round_->left_out().ranges(), (Ranges{{kFirstFree, kFreeCount}}));
  EXPECT_EQ(round_->handed_out().ranges(),
            (Ranges{{0, kFirstFree}, {kFirstFree + kFreeCount, pages_ - kFirstFree - kFreeCount}}));
  EXPECT_EQ(round_->count(), pages_);
  EXPECT_TRUE(round_->left().empty());
  EXPECT_TRUE(log().read().empty());
}

TEST_F(RoundWithoutFreePages, HasInTheLogWhatIsWrittenOfThem) {
  write(kFirstFree, 2);  // before it is named
  name({kFirstFree, kFreeCount});
  write(kFirstFree + 1, 2);
  ASSERT_TRUE(round_->next_chunk());
  write(kFirstFree + 2, 2);
  hand_out_all();
  write(kFirstFree + 3, 2);
  EXPECT_EQ(round_->left_out().ranges(), (Ranges{{kFirstFree, kFreeCount}}));
  EXPECT_EQ(log().read().ranges(), (Ranges{{kFirstFree, 4}}));
}

// A kernel that clears what it takes has written them: they go now, and not later.
TEST_F(RoundWithoutFreePages, SendsThoseThatAreZero) {
  write(kFirstFree, 0);
  std::ignore = log().read();  // as a vCPU's write would be, it is KVM's
  name({kFirstFree, 2});
  hand_out_all();
  EXPECT_EQ(round_->left_out().ranges(), (Ranges{{kFirstFree + 1, 1}}));
  EXPECT_TRUE(log().read().empty());
}

// A sample takes what is written out of the log: the guest's word does not count for it any more.
TEST_F(RoundWithoutFreePages, SendsThoseThatASampleFoundWritten) {
  round_->watch_writes();
  name({kFirstFree, kFreeCount});
  write(kFirstFree, 2);
  write(kFirstFree + kFreeCount, 2);
  round_->watch_writes();
  name({kFirstFree, kFreeCount + 1});
  hand_out_all();
  EXPECT_EQ(round_->left_out().ranges(), (Ranges{{kFirstFree + 1, kFreeCount - 1}}));
  EXPECT_TRUE(log().read().empty());
}

TEST_F(RoundWithoutFreePages, HasLeftThoseThatItDidNotGetTo) {
  ASSERT_TRUE(round_->next_chunk());
  round_->stop();
  name({kFirstFree, kFreeCount});
  EXPECT_EQ(round_->left().ranges(),
            (Ranges{{kChunk, kFirstFree - kChunk},
                    {kFirstFree + kFreeCount, pages_ - kFirstFree - kFreeCount}}));
  EXPECT_EQ(round_->left_out().ranges(), (Ranges{{kFirstFree, kFreeCount}}));
}

TEST_F(RoundWithoutFreePages, TakesWhatIsTouchedOnlyNow) {
  const auto machine = make_guest("tick=1");
  vmm::DirtyLog& log = machine->dirty_log();
  log.start();
  vmm::PageSet used(pages_);
  log.clear_touched({0, pages_}, used);
  FreePages free(machine->memory(), used, [] {});
  PreCopyRound round(1, machine->memory(), log, free);
  const vmm::PageIndex page = pages_ - 1;
  ASSERT_FALSE(used.test(page));
  const std::array data{std::byte{1}};
  machine->memory().write(vmm::GuestAddress{page * vmm::kPageSize}, data);
  while (round.next_chunk()) {
  }
  EXPECT_TRUE(round.handed_out().test(page));
  EXPECT_TRUE(log.read().test(page));
}

}  // namespace
}  // namespace migration
