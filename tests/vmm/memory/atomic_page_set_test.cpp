#include "vmm/memory/atomic_page_set.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

namespace vmm {
namespace {

PageSet set_of(std::uint64_t pages, std::initializer_list<PageRange> ranges) {
  PageSet result(pages);
  for (const PageRange& range : ranges) result.set(range);
  return result;
}

TEST(AtomicPageSet, IsEmptyOrAllOfRamOrWhatABitmapSays) {
  EXPECT_EQ(AtomicPageSet(70).count(), 0U);
  EXPECT_EQ(AtomicPageSet(70, true).count(), 70U);
  EXPECT_EQ(AtomicPageSet(70, true).snapshot(), set_of(70, {{0, 70}}));
  const PageSet some = set_of(200, {{3, 1}, {63, 2}, {190, 10}});
  const AtomicPageSet set(some);
  EXPECT_EQ(set.page_count(), 200U);
  EXPECT_EQ(set.snapshot(), some);
  EXPECT_EQ(set.count(), 13U);
  EXPECT_EQ(set.count({0, 64}), 2U);
  EXPECT_EQ(set.count({64, 127}), 2U);
}

TEST(AtomicPageSet, GivesAPageOnceForEachTimeItIsPut) {
  AtomicPageSet set(128);
  EXPECT_FALSE(set.test_and_clear(64));
  EXPECT_TRUE(set.put(64));
  EXPECT_FALSE(set.put(64));
  EXPECT_TRUE(set.test(64));
  EXPECT_FALSE(set.test(63));
  EXPECT_TRUE(set.test_and_clear(64));
  EXPECT_FALSE(set.test_and_clear(64));
  EXPECT_FALSE(set.test(64));
}

TEST(AtomicPageSet, PutsRangesAcrossWords) {
  AtomicPageSet set(256);
  set.put(PageRange{60, 70});
  for (PageIndex page = 0; page < 256; ++page) {
    EXPECT_EQ(set.test(page), page >= 60 && page < 130) << page;
  }
}

TEST(AtomicPageSet, TakesWhatARangeStillHoldsAsMaximalRuns) {
  AtomicPageSet set(set_of(400, {{0, 1}, {10, 2}, {60, 140}, {202, 1}, {300, 100}}));
  std::vector<PageRange> taken;
  set.extract(PageRange{11, 289}, taken);
  EXPECT_EQ(taken, (std::vector<PageRange>{{11, 1}, {60, 140}, {202, 1}}));
  EXPECT_EQ(set.snapshot(), set_of(400, {{0, 1}, {10, 1}, {300, 100}}));
  set.extract(PageRange{302, 98}, taken);
  set.extract(PageRange{0, 400}, taken);
  EXPECT_EQ(taken, (std::vector<PageRange>{
                       {11, 1}, {60, 140}, {202, 1}, {302, 98}, {0, 1}, {10, 1}, {300, 2}}));
  EXPECT_EQ(set.count(), 0U);
}

TEST(AtomicPageSet, TakesAWholeWord) {
  AtomicPageSet set(128, true);
  std::vector<PageRange> taken;
  set.extract(PageRange{64, 64}, taken);
  EXPECT_EQ(taken, (std::vector<PageRange>{{64, 64}}));
  set.extract(PageRange{7, 0}, taken);
  EXPECT_EQ(set.count(), 64U);
}

TEST(AtomicPageSet, FindsTheNearestPageOnEitherSide) {
  const AtomicPageSet set(set_of(1000, {{5, 1}, {640, 2}, {999, 1}}));
  EXPECT_EQ(set.first_at_or_after(0), 5U);
  EXPECT_EQ(set.first_at_or_after(5), 5U);
  EXPECT_EQ(set.first_at_or_after(6), 640U);
  EXPECT_EQ(set.first_at_or_after(641), 641U);
  EXPECT_EQ(set.first_at_or_after(642), 999U);
  EXPECT_EQ(set.first_at_or_after(1000), std::nullopt);
  EXPECT_EQ(set.last_before(0), std::nullopt);
  EXPECT_EQ(set.last_before(5), std::nullopt);
  EXPECT_EQ(set.last_before(6), 5U);
  EXPECT_EQ(set.last_before(640), 5U);
  EXPECT_EQ(set.last_before(641), 640U);
  EXPECT_EQ(set.last_before(999), 641U);
  EXPECT_EQ(set.last_before(5000), 999U);
  const AtomicPageSet empty(1000);
  EXPECT_EQ(empty.first_at_or_after(0), std::nullopt);
  EXPECT_EQ(empty.last_before(1000), std::nullopt);
}

TEST(AtomicPageSet, GivesEachPageToExactlyOneOfSeveralThreads) {
  constexpr std::uint64_t kPages = 1'000'000;
  constexpr unsigned kThreads = 4;
  AtomicPageSet set(kPages, true);
  std::vector<std::vector<PageRange>> taken(kThreads);
  std::atomic<bool> go = false;
  std::vector<std::thread> threads;
  for (unsigned self = 0; self < kThreads; ++self) {
    threads.emplace_back([&, self] {
      go.wait(false);
      std::vector<PageRange>& mine = taken[self];
      // Each goes over all of RAM in pieces that no other has, so that pieces overlap in words.
      for (PageIndex at = 0; at < kPages; at += 41 + self) {
        set.extract(PageRange{at, std::min<std::uint64_t>(41 + self, kPages - at)}, mine);
        const PageIndex single = kPages - 1 - at;
        if (set.test_and_clear(single)) mine.push_back({single, 1});
      }
    });
  }
  go = true;
  go.notify_all();
  for (std::thread& thread : threads) thread.join();
  std::vector<unsigned> times(kPages);
  for (const auto& mine : taken) {
    for (const PageRange& range : mine) {
      for (PageIndex page = range.first; page < range.end(); ++page) ++times[page];
    }
  }
  EXPECT_EQ(std::ranges::count(times, 1U), static_cast<std::ptrdiff_t>(kPages));
  EXPECT_EQ(set.count(), 0U);
}

TEST(AtomicPageSet, LosesNoPageThatIsPutBesideOneThatIsTaken) {
  AtomicPageSet set(64, true);
  constexpr int kTimes = 20'000;
  std::vector<int> taken(4);
  std::vector<std::thread> threads;
  for (PageIndex page = 0; page < taken.size(); ++page) {
    threads.emplace_back([&, page] {
      for (int i = 0; i < kTimes; ++i)
        taken[page] += set.test_and_clear(page) && set.put(page) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, std::vector<int>(4, kTimes));
  EXPECT_EQ(set.count(), 64U);
}

// As device threads note what they wrote, and the dirty log takes it.
TEST(AtomicPageSet, MovesAllOfItsPagesIntoASet) {
  AtomicPageSet set(10'000);
  set.put(PageRange{4096, 2048});
  set.put(9999);
  PageSet into = set_of(10'000, {{7, 2}});
  set.move_into(into);
  EXPECT_EQ(into, set_of(10'000, {{7, 2}, {4096, 2048}, {9999, 1}}));
  EXPECT_EQ(set.count(), 0U);
  set.put(5000);
  set.move_into(into);
  EXPECT_EQ(into.count(), 2051U);
  PageSet other(9'999);
  EXPECT_THROW(set.move_into(other), std::out_of_range);
}

TEST(AtomicPageSet, IsTheSameWhereBlocksAreWholeAndWhereTheyAreNot) {
  constexpr std::uint64_t kPages = 3 * PageSet::kBlockPages + 100;
  AtomicPageSet set(kPages, true);
  EXPECT_EQ(set.count(), kPages);
  EXPECT_FALSE(set.put(3000));
  EXPECT_TRUE(set.test_and_clear(3000));
  std::vector<PageRange> taken;
  set.extract(PageRange{0, kPages}, taken);
  EXPECT_EQ(taken, (std::vector<PageRange>{{0, 3000}, {3001, kPages - 3001}}));
  EXPECT_EQ(set.count(), 0U);
  set.put(PageRange{2000, 2148});
  EXPECT_EQ(set.first_at_or_after(0), 2000U);
  EXPECT_EQ(set.last_before(kPages), 4147U);
  set.put(PageRange{0, kPages});
  set.put(PageRange{0, kPages});
  EXPECT_EQ(set.snapshot(), set_of(kPages, {{0, kPages}}));
  AtomicPageSet other(5);
  other = std::move(set);
  EXPECT_EQ(other.count(), kPages);
}

TEST(AtomicPageSet, GivesWholeBlocksToOneOfSeveralThreads) {
  constexpr std::uint64_t kBlocks = 64;
  constexpr unsigned kThreads = 4;
  AtomicPageSet set(kBlocks * PageSet::kBlockPages, true);
  std::vector<std::vector<PageRange>> taken(kThreads);
  std::vector<std::thread> threads;
  for (unsigned self = 0; self < kThreads; ++self) {
    threads.emplace_back([&, self] {
      for (std::uint64_t block = 0; block < kBlocks; ++block) {
        const PageIndex first = block * PageSet::kBlockPages;
        // Some take a page of it, and some the whole.
        if (self % 2 == 0 && set.test_and_clear(first + self))
          taken[self].push_back({first + self, 1});
        set.extract(PageRange{first, PageSet::kBlockPages}, taken[self]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::uint64_t pages = 0;
  for (const auto& mine : taken) pages += count_pages(mine);
  EXPECT_EQ(pages, set.page_count());
  EXPECT_EQ(set.count(), 0U);
}

TEST(AtomicPageSet, RefusesWhatIsOutsideInEveryBuild) {
  AtomicPageSet set(100);
  std::vector<PageRange> taken;
  const std::uint64_t far = ~std::uint64_t{0};
  EXPECT_THROW(set.put(100), std::out_of_range);
  EXPECT_THROW(set.test_and_clear(far), std::out_of_range);
  EXPECT_THROW(static_cast<void>(set.test(100)), std::out_of_range);
  EXPECT_THROW(set.put(PageRange{99, 2}), std::out_of_range);
  EXPECT_THROW(set.extract(PageRange{2, far - 1}, taken), std::out_of_range);
  EXPECT_THROW(static_cast<void>(set.count({101, 0})), std::out_of_range);
  EXPECT_EQ(set.count({100, 0}), 0U);
}

}  // namespace
}  // namespace vmm
