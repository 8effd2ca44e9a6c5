#include "migration/forecast/packing_choice.hpp"

#include <gtest/gtest.h>

/// By what pages of a guest would go over a link, as CompressionPolicy decides.
namespace migration::forecast {
namespace {

constexpr double kMbit = 1e6 / 8;
constexpr double kAllShrink = 1;

/// Rates and sizes as one host has them.
GuestSample guest() {
  GuestSample sample;
  sample.lz4 = {.page_bytes = 1600, .rate = 650e6};
  sample.zstd = {.page_bytes = 900, .rate = 325e6};
  return sample;
}

std::optional<Packing> over(double cap, Compression wanted = Compression::automatic,
                            double speed = 1) {
  return packing_for(guest(), kAllShrink, {.link = 5e9, .cap = cap, .speed = speed}, wanted);
}

TEST(PackingChoice, SendsPagesAsTheyAreWhereTheLinkIsQuick) {
  EXPECT_FALSE(over(0));
  EXPECT_FALSE(over(8000 * kMbit));
}

TEST(PackingChoice, TakesLz4WhereZstandardDoesNotKeepUp) {
  const auto packing = over(2000 * kMbit);
  ASSERT_TRUE(packing);
  EXPECT_EQ(packing->page_bytes, 1600);
  EXPECT_EQ(packing->rate, 650e6);
}

TEST(PackingChoice, TakesZstandardWhereTheLinkIsSlow) {
  const auto packing = over(100 * kMbit);
  ASSERT_TRUE(packing);
  EXPECT_EQ(packing->page_bytes, 900);
  EXPECT_EQ(packing->rate, 325e6);
}

TEST(PackingChoice, MixesThemWhereZstandardHardlyKeepsUp) {
  const auto packing = over(500 * kMbit);
  ASSERT_TRUE(packing);
  EXPECT_GT(packing->page_bytes, 900);
  EXPECT_LT(packing->page_bytes, 1600);
  EXPECT_GT(packing->rate, 325e6);
  EXPECT_LT(packing->rate, 650e6);
}

TEST(PackingChoice, SendsPagesAsTheyAreWhereTheyHardlyShrink) {
  constexpr Sending kOver{.link = 1000 * kMbit};
  GuestSample sample = guest();
  EXPECT_TRUE(packing_for(sample, kAllShrink, kOver, Compression::automatic));
  EXPECT_FALSE(packing_for(sample, 0.1, kOver, Compression::automatic));
  sample.lz4.rate = 0;  // none that shrink was seen
  EXPECT_FALSE(packing_for(sample, 0, kOver, Compression::automatic));
}

TEST(PackingChoice, DoesAsItIsTold) {
  EXPECT_FALSE(over(100 * kMbit, Compression::none));
  EXPECT_EQ(over(8000 * kMbit, Compression::lz4)->page_bytes, 1600);
  EXPECT_EQ(over(8000 * kMbit, Compression::zstd)->page_bytes, 900);
}

TEST(PackingChoice, SeesThatLittleOfTheProcessorIsLeft) {
  EXPECT_TRUE(over(3000 * kMbit));
  EXPECT_FALSE(over(3000 * kMbit, Compression::automatic, 0.6));
  EXPECT_EQ(over(100 * kMbit, Compression::automatic, 0.6)->rate, 0.6 * 325e6);
}

}  // namespace
}  // namespace migration::forecast
