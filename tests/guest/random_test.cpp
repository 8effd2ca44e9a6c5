#include "guest/workload/random.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace guest {
namespace {

TEST(GuestRandom, RepeatsItselfFromTheSameSeedOnly) {
  Random one(7);
  Random same(7);
  Random other(8);
  const std::uint64_t first = one.next();
  EXPECT_EQ(first, same.next());
  EXPECT_NE(first, other.next());
  EXPECT_NE(first, one.next());
}

TEST(GuestRandom, ReachesEveryNumberBelowABoundAboutEquallyOften) {
  constexpr std::uint64_t kBound = 10;
  constexpr int kDraws = 100'000;
  Random random(1);
  std::vector<int> seen(kBound);
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t draw = random.below(kBound);
    ASSERT_LT(draw, kBound);
    ++seen[draw];
  }
  for (const int count : seen) EXPECT_NEAR(count, 0.1 * kDraws, 0.01 * kDraws);
}

TEST(GuestRandom, MixesNeighboursIntoDifferentNumbers) {
  std::set<std::uint64_t> mixed;
  for (std::uint64_t i = 0; i < 10'000; ++i) mixed.insert(mix(i) >> 32);
  EXPECT_EQ(mixed.size(), 10'000U);
}

}  // namespace
}  // namespace guest
