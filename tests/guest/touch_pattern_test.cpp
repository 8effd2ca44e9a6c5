#include "guest/workload/touch_pattern.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace guest {
namespace {

std::vector<std::uint64_t> draw(TouchPattern& pattern, std::size_t count) {
  std::vector<std::uint64_t> pages(count);
  for (std::uint64_t& page : pages) page = pattern.next();
  return pages;
}

TEST(TouchPattern, GoesForwardFromTheMiddleAndRound) {
  TouchPattern pattern(TouchOrder::sequential, 100, 3, 90, 8);
  EXPECT_EQ(draw(pattern, 5), (std::vector<std::uint64_t>{101, 102, 100, 101, 102}));
  pattern.restart();
  EXPECT_EQ(pattern.next(), 101U);
}

TEST(TouchPattern, GoesBackwardFromTheMiddleAndRound) {
  TouchPattern pattern(TouchOrder::backward, 100, 3, 90, 8);
  EXPECT_EQ(draw(pattern, 5), (std::vector<std::uint64_t>{101, 100, 102, 101, 100}));
}

TEST(TouchPattern, ReachesEveryPageAndNoOtherAtRandom) {
  for (const TouchOrder order : {TouchOrder::uniform, TouchOrder::skew}) {
    TouchPattern pattern(order, 100, 64, 90, 8);
    const auto pages = draw(pattern, 20'000);
    const std::set<std::uint64_t> seen(pages.begin(), pages.end());
    EXPECT_EQ(seen.size(), 64U);
    EXPECT_EQ(*seen.begin(), 100U);
    EXPECT_EQ(*seen.rbegin(), 163U);
  }
}

TEST(TouchPattern, HasItsHotRegionInTheMiddle) {
  constexpr std::uint64_t kPages = 800;
  constexpr std::size_t kDraws = 100'000;
  TouchPattern pattern(TouchOrder::skew, 1000, kPages, 90, 8);
  std::size_t hot = 0;
  for (const std::uint64_t page : draw(pattern, kDraws)) {
    hot += page >= 1350 && page < 1450 ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(hot), 0.9 * kDraws, 0.01 * kDraws);
}

TEST(TouchPattern, HasAHotPageEvenWhereThereAreFewPages) {
  TouchPattern one(TouchOrder::skew, 5, 1, 90, 8);
  EXPECT_EQ(draw(one, 3), (std::vector<std::uint64_t>{5, 5, 5}));
  TouchPattern always(TouchOrder::skew, 0, 3, 100, 8);
  EXPECT_EQ(draw(always, 3), (std::vector<std::uint64_t>{1, 1, 1}));
}

TEST(TouchPattern, HasNoHotRegionWhenItIsAllPages) {
  TouchPattern pattern(TouchOrder::skew, 0, 4, 0, 1);
  for (const std::uint64_t page : draw(pattern, 100)) EXPECT_LT(page, 4U);
}

}  // namespace
}  // namespace guest
