#include "migration/pages/round.hpp"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace migration {
namespace {

constexpr std::uint64_t kMebibytes = 1U << 20;

/// The pages of all chunks that the round hands out.
std::vector<vmm::PageIndex> pages_of(PreCopyRound& round) {
  std::vector<vmm::PageIndex> pages;
  while (const auto chunk = round.next_chunk()) {
    EXPECT_TRUE(chunk->absent.empty());
    for (const vmm::PageRange& range : chunk->data) {
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) pages.push_back(page);
    }
  }
  return pages;
}

void touch(vmm::GuestMemory& memory, vmm::PageIndex page) {
  memory.pages({page, 1}).front() = std::byte{1};
}

TEST(Round, TakesWhatWasEverTouchedAndTouchesNothing) {
  vmm::GuestMemory memory(64 * kMebibytes,
                          vmm::Backing::memfd);  // no huge pages: neighbours stay untouched
  touch(memory, 3);
  touch(memory, 16383);
  for (int time = 0; time < 2; ++time) {
    PreCopyRound round(1, memory, nullptr);
    EXPECT_EQ(pages_of(round), (std::vector<vmm::PageIndex>{3, 16383}));
    EXPECT_EQ(round.count(), 2U);
    EXPECT_EQ(round.handed_out().ranges({0, memory.page_count()}),
              (std::vector<vmm::PageRange>{{3, 1}, {16383, 1}}));
  }
}

TEST(Round, HasNothingToSendOfFreshMemory) {
  vmm::GuestMemory memory(16 * kMebibytes);
  PreCopyRound round(1, memory, nullptr);
  EXPECT_FALSE(round.next_chunk());
}

TEST(Round, HandsOutNoMoreOnceItIsStopped) {
  vmm::GuestMemory memory(64 * kMebibytes, vmm::Backing::memfd);
  vmm::PageSet dirty(memory.page_count());
  dirty.set(vmm::PageRange{0, memory.page_count()});
  PreCopyRound round(1, memory, nullptr, std::move(dirty));
  EXPECT_EQ(round.taken_up(), 0U);
  const auto chunk = round.next_chunk();
  ASSERT_TRUE(chunk);
  round.stop();
  EXPECT_FALSE(round.next_chunk());
  EXPECT_EQ(round.taken_up(), round.count());
  EXPECT_EQ(round.handed_out().ranges({0, memory.page_count()}), chunk->data);
}

// The log need not have them: what the round before held back was cleared when it was looked at.
TEST(Round, LeavesOfWhatItWasGivenWhatItDidNotGetTo) {
  vmm::GuestMemory memory(64 * kMebibytes, vmm::Backing::memfd);
  vmm::PageSet dirty(memory.page_count());
  for (const vmm::PageIndex page : {3U, 9000U, 16383U}) dirty.set(page);
  PreCopyRound round(2, memory, nullptr, std::move(dirty));
  ASSERT_TRUE(round.next_chunk());
  round.stop();
  EXPECT_EQ(round.left().ranges(), (std::vector<vmm::PageRange>{{9000, 1}, {16383, 1}}));
}

TEST(Round, TakesTheDirtyPagesAndNoOthers) {
  vmm::GuestMemory memory(16 * kMebibytes, vmm::Backing::memfd);
  touch(memory, 1);
  vmm::PageSet dirty(memory.page_count());
  dirty.set(vmm::PageRange{2046, 4});  // over the edge of a chunk
  PreCopyRound round(7, memory, nullptr, dirty);
  EXPECT_EQ(round.number(), 7U);
  EXPECT_EQ(pages_of(round), (std::vector<vmm::PageIndex>{2046, 2047, 2048, 2049}));
}

TEST(Round, HandsEachPageToOneOfSeveralChannels) {
  vmm::GuestMemory memory(256 * kMebibytes);
  vmm::PageSet dirty(memory.page_count());
  dirty.set(vmm::PageRange{0, memory.page_count()});
  PreCopyRound round(2, memory, nullptr, std::move(dirty));
  std::vector<std::vector<vmm::PageIndex>> taken(4);
  std::vector<std::thread> channels;
  channels.reserve(taken.size());
  for (auto& mine : taken) channels.emplace_back([&] { mine = pages_of(round); });
  for (std::thread& channel : channels) channel.join();
  std::set<vmm::PageIndex> all;
  std::size_t count = 0;
  for (const auto& mine : taken) {
    all.insert(mine.begin(), mine.end());
    count += mine.size();
  }
  EXPECT_EQ(count, memory.page_count());
  EXPECT_EQ(all.size(), memory.page_count());
}

}  // namespace
}  // namespace migration
