#include "guest/workload/selection.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace guest {
namespace {

std::vector<bool> picks(std::uint64_t wanted, std::uint64_t count, std::uint64_t seed) {
  Selection selection(wanted, count, seed);
  std::vector<bool> picked(count);
  for (std::uint64_t i = 0; i < count; ++i) picked[i] = selection.take();
  EXPECT_EQ(selection.wanted(), 0U);
  return picked;
}

TEST(Selection, PicksExactlySoMany) {
  for (const std::uint64_t wanted : {0U, 1U, 206U, 999U, 1000U}) {
    const auto picked = picks(wanted, 1000, 7);
    EXPECT_EQ(static_cast<std::uint64_t>(std::ranges::count(picked, true)), wanted);
  }
}

TEST(Selection, SpreadsThemOverAll) {
  constexpr std::ptrdiff_t kTenth = 3000;
  const auto picked = picks(6000, 10 * kTenth, 7);
  for (auto part = picked.begin(); part != picked.end(); part += kTenth) {
    EXPECT_NEAR(static_cast<double>(std::count(part, part + kTenth, true)), 600, 120);
  }
}

TEST(Selection, PicksTheSameForTheSameSeedAndOthersForAnother) {
  EXPECT_EQ(picks(200, 1000, 7), picks(200, 1000, 7));
  EXPECT_NE(picks(200, 1000, 7), picks(200, 1000, 8));
}

}  // namespace
}  // namespace guest
