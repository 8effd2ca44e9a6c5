#include "vmm/memory/page_set.hpp"

#include <gtest/gtest.h>

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
  EXPECT_EQ(pages.words()[1], 0x3fU);
  EXPECT_EQ(pages.count(), 70U);
}

}  // namespace
}  // namespace vmm
