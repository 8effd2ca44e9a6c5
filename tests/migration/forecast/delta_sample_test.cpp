#include "migration/forecast/delta_sample.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

namespace migration::forecast {
namespace {

using PageBytes = std::array<std::byte, 4096>;

PageBytes noise(std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  PageBytes page{};
  for (std::byte& byte : page) byte = static_cast<std::byte>(engine());
  return page;
}

/// A guest of ten pages, of which `written` are changed by `change`.
DeltaSample sample_of(std::size_t written, void (*change)(PageBytes&)) {
  constexpr std::size_t kPages = 10;
  DeltaSample sample;
  for (std::size_t i = 0; i < kPages; ++i) sample.keep(noise(i));
  for (std::size_t i = 0; i < kPages; ++i) {
    PageBytes page = noise(i);
    if (i < written) change(page);
    sample.look(i, page);
  }
  return sample;
}

void change_a_word(PageBytes& page) { page[1000] ^= std::byte{1}; }
void change_all(PageBytes& page) { page = noise(1000); }

TEST(DeltaSample, TellsWhatADifferenceTakes) {
  const DeltaSample sample = sample_of(9, &change_a_word);
  ASSERT_TRUE(sample.tells());
  EXPECT_LT(sample.bytes(), 100);
  EXPECT_GT(sample.seconds(), 0);
  EXPECT_LE(sample.seconds(), 50e-6);
}

TEST(DeltaSample, CountsAPageThatIsAnotherInFull) {
  const DeltaSample sample = sample_of(9, &change_all);
  ASSERT_TRUE(sample.tells());
  EXPECT_EQ(sample.bytes(), 4096);
}

TEST(DeltaSample, TellsNothingOutOfFewPages) {
  EXPECT_FALSE(sample_of(0, &change_a_word).tells());
  EXPECT_FALSE(sample_of(7, &change_a_word).tells());
}

}  // namespace
}  // namespace migration::forecast
