#include "migration/pages/delta_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "migration/pages/sent_rounds.hpp"

namespace migration {
namespace {

constexpr std::uint64_t kSlots = 8;

std::vector<std::byte> page_of(int seed) {
  return std::vector<std::byte>(vmm::kPageSize, static_cast<std::byte>(seed));
}

/// A cache of eight pages, so that pages 3 and 11 have the same place.
class DeltaCaching : public testing::Test {
 protected:
  bool store(vmm::PageIndex page, std::uint32_t round, int seed) {
    auto place = cache_.place_of(page, round);
    if (place.taken()) place.store(page_of(seed), round);
    return place.taken();
  }
  bool holds(vmm::PageIndex page, std::uint32_t sent, int seed) {
    // A round in which no other page keeps the place.
    const auto place = cache_.place_of(page, sent + 2);
    return place.taken() && std::ranges::equal(place.base(sent), page_of(seed));
  }

  DeltaCache cache_{kSlots * vmm::kPageSize};
};

TEST_F(DeltaCaching, HoldsWhatWasSentLast) {
  EXPECT_TRUE(store(3, 2, 'a'));
  EXPECT_TRUE(holds(3, 2, 'a'));
  EXPECT_TRUE(store(3, 3, 'b'));
  EXPECT_TRUE(holds(3, 3, 'b'));
}

TEST_F(DeltaCaching, HasNothingOfAPageThatWentOtherwiseSince) {
  EXPECT_TRUE(store(3, 2, 'a'));
  EXPECT_TRUE(cache_.place_of(3, 4).base(3).empty());
}

TEST_F(DeltaCaching, HasNothingOfAPageThatWasNeverSent) {
  EXPECT_TRUE(cache_.place_of(3, 2).base(0).empty());
}

TEST_F(DeltaCaching, LeavesItsPlaceToAPageThatIsSentInEveryRound) {
  EXPECT_TRUE(store(3, 2, 'a'));
  EXPECT_FALSE(store(11, 2, 'x'));
  EXPECT_FALSE(store(11, 3, 'x'));
  EXPECT_TRUE(store(3, 3, 'b'));
  EXPECT_FALSE(store(11, 4, 'x'));
  EXPECT_TRUE(holds(3, 3, 'b'));
}

TEST_F(DeltaCaching, GivesThePlaceOfAPageThatIsNotSentAnyMore) {
  EXPECT_TRUE(store(3, 2, 'a'));
  EXPECT_TRUE(store(11, 4, 'x'));
  EXPECT_TRUE(holds(11, 4, 'x'));
  EXPECT_FALSE(cache_.place_of(3, 4).taken());
  EXPECT_TRUE(cache_.place_of(3, 6).base(2).empty());
}

TEST_F(DeltaCaching, GivesAPlaceToOneAtATime) {
  const auto place = cache_.place_of(3, 2);
  EXPECT_TRUE(place.taken());
  EXPECT_FALSE(cache_.place_of(3, 2).taken());
  EXPECT_FALSE(cache_.place_of(11, 2).taken());
  EXPECT_TRUE(cache_.place_of(4, 2).taken());
}

TEST_F(DeltaCaching, TellsWhatItTakes) {
  EXPECT_EQ(cache_.used_bytes(), 0U);
  store(3, 2, 'a');
  store(3, 3, 'b');
  store(4, 3, 'c');
  EXPECT_EQ(cache_.used_bytes(), 2 * vmm::kPageSize);
  for (vmm::PageIndex page = 0; page < 3 * kSlots; ++page) store(page, 9, 'd');
  EXPECT_EQ(cache_.used_bytes(), kSlots * vmm::kPageSize);
}

TEST(SentRounds, TellsTheRoundBefore) {
  SentRounds sent(16);
  EXPECT_EQ(sent.put(5, 1), 0U);
  EXPECT_EQ(sent.put(5, 3), 1U);
  EXPECT_EQ(sent.of(5), 3U);
  EXPECT_EQ(sent.of(6), 0U);
}

}  // namespace
}  // namespace migration
