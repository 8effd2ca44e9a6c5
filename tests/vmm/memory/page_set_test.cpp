#include "vmm/memory/page_set.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

namespace vmm {
namespace {

PageSet bitmap(std::uint64_t pages, std::initializer_list<PageRange> set) {
  PageSet result(pages);
  for (const PageRange& range : set) result.set(range);
  return result;
}

using Ranges = std::vector<PageRange>;

TEST(PageSet, StartsEmpty) {
  const PageSet empty(1000);
  EXPECT_TRUE(empty.empty());
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_TRUE(empty.ranges().empty());
}

TEST(PageSet, MergesAdjacentPagesIntoOneRange) {
  PageSet pages(256);
  for (const PageIndex page : {62U, 63U, 64U, 65U}) pages.set(page);
  EXPECT_EQ(pages.ranges(), (Ranges{{62, 4}}));
}

TEST(PageSet, KeepsSeparateRunsApart) {
  EXPECT_EQ(bitmap(256, {{0, 1}, {2, 3}, {127, 2}, {255, 1}}).ranges(),
            (Ranges{{0, 1}, {2, 3}, {127, 2}, {255, 1}}));
}

TEST(PageSet, FindsARunOverManyWholeWords) {
  EXPECT_EQ(bitmap(1024, {{64, 640}}).ranges(), (Ranges{{64, 640}}));
  EXPECT_EQ(bitmap(1024, {{1, 1023}}).ranges(), (Ranges{{1, 1023}}));
}

TEST(PageSet, CutsRunsAtTheEdgesOfTheQuestion) {
  const PageSet pages = bitmap(256, {{10, 100}});
  EXPECT_EQ(pages.ranges({20, 30}), (Ranges{{20, 30}}));
  EXPECT_EQ(pages.ranges({0, 64}), (Ranges{{10, 54}}));
  EXPECT_EQ(pages.ranges({110, 20}), Ranges{});
}

TEST(PageSet, CountsWithinARange) {
  const PageSet pages = bitmap(300, {{60, 10}, {200, 100}});
  EXPECT_EQ(pages.count(), 110U);
  EXPECT_EQ(pages.count({64, 64}), 6U);
  EXPECT_EQ(pages.count({250, 50}), 50U);
  EXPECT_EQ(pages.count({70, 0}), 0U);
}

TEST(PageSet, ResetsOnlyTheRangeAskedFor) {
  PageSet pages = bitmap(256, {{0, 256}});
  pages.reset(PageRange{63, 2});
  EXPECT_EQ(pages.ranges(), (Ranges{{0, 63}, {65, 191}}));
  pages.reset(PageIndex{0});
  EXPECT_FALSE(pages.test(0));
  EXPECT_TRUE(pages.test(1));
}

TEST(PageSet, CombinesAsSets) {
  const PageSet a = bitmap(128, {{0, 10}, {100, 10}});
  const PageSet b = bitmap(128, {{5, 10}, {105, 1}});
  PageSet both = a;
  both |= b;
  EXPECT_EQ(both.ranges(), (Ranges{{0, 15}, {100, 10}}));
  PageSet common = a;
  common &= b;
  EXPECT_EQ(common.ranges(), (Ranges{{5, 5}, {105, 1}}));
  PageSet rest = a;
  rest -= b;
  EXPECT_EQ(rest.ranges(), (Ranges{{0, 5}, {100, 5}, {106, 4}}));
}

TEST(PageSet, LeavesBitsAboveItsSizeZero) {
  PageSet pages(70);
  pages.set(PageRange{0, 70});
  EXPECT_EQ(pages.word(1), 0x3fU);
  EXPECT_EQ(pages.count(), 70U);
}

TEST(PageSet, IsEqualWhateverWasOnceInIt) {
  PageSet emptied = bitmap(3 * PageSet::kBlockPages, {{5, 1}, {PageSet::kBlockPages, 1}});
  EXPECT_NE(emptied, PageSet(emptied.pages()));
  emptied.reset(PageIndex{5});
  emptied.reset(PageRange{0, emptied.pages()});
  EXPECT_EQ(emptied, PageSet(emptied.pages()));
  EXPECT_TRUE(emptied.empty());
  PageSet copy = bitmap(emptied.pages(), {{7, 2}});
  copy = emptied;
  EXPECT_EQ(copy, emptied);
  EXPECT_NE(PageSet(64), PageSet(65));
}

TEST(PageSet, TellsTheWordsOfABlockWithPages) {
  constexpr PageIndex kFirst = PageSet::kBlockPages;
  const PageSet pages = bitmap(3 * kFirst, {{kFirst + 64, 2}});
  EXPECT_TRUE(pages.block_words(0).empty());
  EXPECT_TRUE(pages.block_words(2 * kFirst).empty());
  const auto words = pages.block_words(kFirst + 700);
  ASSERT_EQ(words.size(), kFirst / 64);
  EXPECT_EQ(words[0], 0U);
  EXPECT_EQ(words[1], 3U);
}

TEST(PageSet, RefusesWhatIsBeyondItsEnd) {
  PageSet pages(70);
  EXPECT_THROW(pages.add_word(2, 1), std::out_of_range);
  EXPECT_THROW(pages.add_word(1, 0x40), std::out_of_range);
  pages.add_word(1, 0x3f);
  EXPECT_EQ(pages.ranges(), (Ranges{{64, 6}}));
  EXPECT_THROW(pages.set(PageIndex{70}), std::out_of_range);
  EXPECT_THROW(static_cast<void>(pages.test(70)), std::out_of_range);
  EXPECT_THROW(static_cast<void>(pages.block_words(70)), std::out_of_range);
  EXPECT_THROW(pages |= PageSet(71), std::out_of_range);
}

/// For a sanitizer: nobody looks into a block that is another's.
TEST(PageSet, IsChangedByThreadsInDifferentBlocks) {
  PageSet pages(2 * PageSet::kBlockPages);
  const auto work = [&pages](PageIndex first) {
    const PageRange block{first, PageSet::kBlockPages};
    for (PageIndex page = first; page < block.end(); ++page) {
      pages.set(page);
      EXPECT_EQ(pages.ranges(block), (Ranges{{page, 1}}));
      pages.reset(block);
      EXPECT_EQ(pages.ranges(block), Ranges{});
    }
  };
  std::thread other(work, PageSet::kBlockPages);
  work(0);
  other.join();
}

/// Against the plainest set there is.
class PageSetAtRandom : public ::testing::TestWithParam<unsigned> {
 protected:
  using Plain = std::vector<bool>;
  static constexpr std::uint64_t kPages = 3 * PageSet::kBlockPages - 37;

  PageRange range() {
    static constexpr std::array<std::uint64_t, 4> kLengths = {1, 70, 3000, kPages};
    const PageIndex first = random_() % kPages;
    return {first, random_() % std::min(kLengths[random_() % 4], kPages - first) + 1};
  }
  void change(PageSet& pages, Plain& plain) {
    const PageRange range = this->range();
    const bool in = random_() % 2 == 0;
    if (in) {
      pages.set(range);
    } else {
      pages.reset(range);
    }
    for (PageIndex page = range.first; page < range.end(); ++page) plain[page] = in;
  }
  void check(const PageSet& pages, const Plain& plain) {
    const PageRange within = range();
    Ranges runs;
    std::uint64_t count = 0;
    for (PageIndex page = within.first; page < within.end(); ++page) {
      if (!plain[page]) continue;
      ++count;
      if (!runs.empty() && runs.back().end() == page) {
        ++runs.back().count;
      } else {
        runs.push_back({page, 1});
      }
    }
    EXPECT_EQ(pages.ranges(within), runs);
    EXPECT_EQ(pages.count(within), count);
    const auto first = std::find(plain.begin(), plain.end(), true);
    EXPECT_EQ(pages.first_at_or_after(0).value_or(kPages),
              static_cast<PageIndex>(first - plain.begin()));
    EXPECT_EQ(pages.empty(), first == plain.end());
  }

  std::mt19937_64 random_{GetParam()};
};

TEST_P(PageSetAtRandom, IsTheSetThatItsHistoryMakes) {
  PageSet one(kPages);
  PageSet other(kPages);
  Plain plain_one(kPages);
  Plain plain_other(kPages);
  for (int step = 0; step < 200; ++step) {
    change(one, plain_one);
    change(other, plain_other);
    const PageRange within = range();
    const std::uint64_t what = random_() % 6;
    PageSet from_words(kPages);
    switch (what) {
      case 0: one |= other; break;
      case 1: one &= other; break;
      case 2: one -= other; break;
      case 3: one.subtract(other, within); break;
      case 4: one = PageSet(one); break;
      default:
        for (std::size_t i = 0; i < one.word_count(); ++i) from_words.add_word(i, one.word(i));
        EXPECT_EQ(from_words, one);
    }
    for (PageIndex page = 0; page < kPages; ++page) {
      const bool taken = what == 2 || (what == 3 && within.first <= page && page < within.end());
      if (what == 0) plain_one[page] = plain_one[page] || plain_other[page];
      if (what == 1) plain_one[page] = plain_one[page] && plain_other[page];
      if (taken) plain_one[page] = plain_one[page] && !plain_other[page];
    }
    check(one, plain_one);
    check(other, plain_other);
    EXPECT_EQ(one == other, plain_one == plain_other);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PageSetAtRandom, ::testing::Range(1U, 9U));

}  // namespace
}  // namespace vmm
