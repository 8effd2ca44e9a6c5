#include "migration/policy/progress.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "migration/pages/used_pages.hpp"

namespace migration {
namespace {

TEST(Progress, IsThePartThatHasTravelled) {
  Progress progress;
  EXPECT_EQ(progress.percent(), 0);
  progress.tell(400, 400);
  EXPECT_EQ(progress.percent(), 0);
  progress.tell(80, 400);
  EXPECT_EQ(progress.percent(), 80);
}

TEST(Progress, DoesNotFallWhenPagesAreWrittenAgain) {
  Progress progress;
  progress.tell(100, 1000);
  progress.tell(700, 1000);
  EXPECT_EQ(progress.percent(), 90);
}

TEST(Progress, StaysBelowAllWhateverItIsTold) {
  Progress progress;
  progress.tell(0, 0);
  progress.tell(10, 5);
  EXPECT_EQ(progress.percent(), 0);
  progress.tell(0, 5);
  EXPECT_LT(progress.percent(), Progress::kDone);
  EXPECT_GT(progress.percent(), 99);
}

constexpr std::uint64_t kLookStep = 65536;
constexpr std::uint64_t kPagesAtOnce = 512;  ///< touched at once where RAM has huge pages

void touch_block(vmm::GuestMemory& memory, std::uint64_t block) {
  const auto bytes = memory.pages({block * kPagesAtOnce, kPagesAtOnce});
  std::ranges::fill(bytes, std::byte{1});
}

TEST(UsedPages, AreThoseThatWereTouched) {
  vmm::GuestMemory memory(64 << 20);
  for (const unsigned block : {0U, 5U, 6U, 31U}) touch_block(memory, block);
  UsedPages used(memory.page_count());
  used.look(memory, std::chrono::seconds(1));
  EXPECT_EQ(used.count(1'000'000), 4 * kPagesAtOnce);
}

TEST(UsedPages, AreGuessedByWhatIsResidentWhereNobodyHasLookedYet) {
  vmm::GuestMemory memory(2 * kLookStep * vmm::kPageSize);
  touch_block(memory, 3);
  touch_block(memory, kLookStep / kPagesAtOnce + 7);
  UsedPages used(memory.page_count());
  EXPECT_EQ(used.count(0), 0U);
  EXPECT_EQ(used.count(5000), 5000U);
  EXPECT_EQ(used.count(10 * kLookStep), 2 * kLookStep);
  used.look(memory, std::chrono::nanoseconds(0));  // one step
  EXPECT_EQ(used.count(0), kPagesAtOnce);
  EXPECT_EQ(used.count(5000), 5000U);
  EXPECT_EQ(used.count(10 * kLookStep), kPagesAtOnce + kLookStep);
  used.look(memory, std::chrono::nanoseconds(0));
  EXPECT_EQ(used.count(5000), 2 * kPagesAtOnce);
}

}  // namespace
}  // namespace migration
