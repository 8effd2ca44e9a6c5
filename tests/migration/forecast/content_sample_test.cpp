#include "migration/forecast/content_sample.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <string_view>

namespace migration::forecast {
namespace {

using Page = std::array<std::byte, 4096>;

Page text(unsigned number) {
  constexpr std::string_view kWords = "what a guest has in its pages is text for the most part ";
  Page page{};
  for (std::size_t i = 0; i < page.size(); ++i) {
    page.at(i) = static_cast<std::byte>(kWords[(i * 7 / 5 + number) % kWords.size()]);
  }
  std::memcpy(page.data(), &number, sizeof(number));
  return page;
}

Page random_page(std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  Page page{};
  for (std::byte& byte : page) byte = static_cast<std::byte>(engine());
  return page;
}

TEST(ContentSample, SortsPagesAsASenderDoes) {
  ContentSample sample;
  EXPECT_EQ(sample.look(Page{}), ContentSample::Kind::zero);
  EXPECT_EQ(sample.look(random_page(1)), ContentSample::Kind::random);
  EXPECT_EQ(sample.look(text(1)), ContentSample::Kind::shrinking);
  EXPECT_EQ(sample.data(), 2U);
}

TEST(ContentSample, KnowsNothingOfPagesThatShrinkBeforeItHasABlock) {
  ContentSample sample;
  for (unsigned i = 0; i < 15; ++i) static_cast<void>(sample.look(text(i)));
  EXPECT_EQ(sample.lz4().page_bytes, 4096);
  EXPECT_EQ(sample.lz4().rate, 0);
  static_cast<void>(sample.look(text(15)));
  for (const Packing& packing : {sample.lz4(), sample.zstd()}) {
    EXPECT_LT(packing.page_bytes, 2048);
    EXPECT_GT(packing.rate, 0);
  }
}

TEST(ContentSample, CountsDuplicatesButForZeroPages) {
  ContentSample sample;
  for (unsigned i = 0; i < 4; ++i) static_cast<void>(sample.look(random_page(i / 2)));
  for (unsigned i = 0; i < 4; ++i) static_cast<void>(sample.look(Page{}));
  EXPECT_EQ(sample.data(), 4U);
  EXPECT_EQ(sample.duplicates(), 2U);
}

}  // namespace
}  // namespace migration::forecast
