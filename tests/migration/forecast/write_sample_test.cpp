#include "migration/forecast/write_sample.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace migration::forecast {
namespace {

constexpr std::uint64_t kGuestPages = 1 << 18;

TEST(WriteSample, LooksAtPlacesAllOverRam) {
  const WriteSample sample(kGuestPages);
  ASSERT_EQ(sample.seen().size(), WriteSample::kMostPlaces * WriteSample::kPlacePages);
  const std::uint64_t cell = kGuestPages / WriteSample::kMostPlaces;
  for (std::size_t i = 0; i < sample.seen().size(); ++i) {
    const vmm::PageIndex page = sample.seen()[i].page;
    EXPECT_EQ(page / cell, i / WriteSample::kPlacePages);
    if (i % WriteSample::kPlacePages != 0) {
      EXPECT_EQ(page, sample.seen()[i - 1].page + 1);
    }
  }
}

TEST(WriteSample, CountsStepsWithAndWithoutAWrite) {
  WriteSample sample(1024);
  std::vector<std::uint64_t> digests(sample.seen().size(), 7);
  sample.looked(digests, 0);
  digests[3] = 8;
  sample.looked(digests, 0.05);
  sample.looked(digests, 0.07);
  EXPECT_EQ(sample.seen()[3].written, 1);
  EXPECT_EQ(sample.seen()[3].not_written, 1);
  EXPECT_EQ(sample.seen()[4].written, 0);
  EXPECT_EQ(sample.seen()[4].not_written, 2);
  EXPECT_NEAR(sample.step_seconds(), 0.06, 1e-9);
}

TEST(WriteSample, TakesTheSmallestRam) { EXPECT_EQ(WriteSample(4096).seen().size(), 2048U); }

}  // namespace
}  // namespace migration::forecast
