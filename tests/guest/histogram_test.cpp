#include "guest/workload/histogram.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace guest {
namespace {

TEST(GuestHistogram, HasNoPercentilesWhenEmpty) {
  const Histogram empty;
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_EQ(empty.largest(), 0U);
  EXPECT_EQ(empty.percentile(50), 0U);
}

TEST(GuestHistogram, IsExactForSmallNumbers) {
  Histogram histogram;
  for (std::uint64_t i = 1; i <= 10; ++i) histogram.add(i);
  EXPECT_EQ(histogram.count(), 10U);
  EXPECT_EQ(histogram.percentile(0), 1U);
  EXPECT_EQ(histogram.percentile(50), 5U);
  EXPECT_EQ(histogram.percentile(90), 9U);
  EXPECT_EQ(histogram.percentile(100), 10U);
}

TEST(GuestHistogram, IsOffByNoMoreThanHalfABucketForLargeOnes) {
  for (std::uint64_t value = 16; value < (std::uint64_t{1} << 41); value = value * 17 / 16 + 1) {
    Histogram histogram;
    histogram.add(value);
    histogram.add(2 * value);  // so that the largest number does not cap the middle of the bucket
    const auto found = static_cast<double>(histogram.percentile(50));
    EXPECT_NEAR(found, static_cast<double>(value), static_cast<double>(value) / 32) << value;
  }
}

TEST(GuestHistogram, NeverTellsMoreThanTheLargestNumber) {
  Histogram histogram;
  histogram.add(1024);
  EXPECT_EQ(histogram.percentile(99), 1024U);
}

TEST(GuestHistogram, KeepsRareLargeNumbersOutOfThePercentilesBelowThem) {
  Histogram histogram;
  for (int i = 0; i < 990; ++i) histogram.add(10);
  for (int i = 0; i < 10; ++i) histogram.add(5000);
  EXPECT_EQ(histogram.percentile(99), 10U);
  EXPECT_NEAR(static_cast<double>(histogram.percentile(100)), 5000, 5000.0 / 32);
  EXPECT_EQ(histogram.largest(), 5000U);
}

TEST(GuestHistogram, TellsOfTheNumbersFromALimitOnAlone) {
  Histogram histogram;
  for (int i = 0; i < 900; ++i) histogram.add(3);
  for (int i = 0; i < 60; ++i) histogram.add(100'000);
  for (int i = 0; i < 40; ++i) histogram.add(800'000);
  EXPECT_EQ(histogram.count_from(50'000), 100U);
  EXPECT_NEAR(static_cast<double>(histogram.percentile(50, 50'000)), 100'000, 100'000.0 / 32);
  EXPECT_NEAR(static_cast<double>(histogram.percentile(99, 50'000)), 800'000, 800'000.0 / 32);
  EXPECT_EQ(histogram.percentile(50, 1'000'000), 0U);
}

TEST(GuestHistogram, CountsNumbersBeyondItsRange) {
  Histogram histogram;
  histogram.add(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(histogram.count_from(std::uint64_t{1} << 40), 1U);
  EXPECT_EQ(histogram.largest(), std::numeric_limits<std::uint64_t>::max());
}

TEST(GuestHistogram, AddsUpAndIsClearedAgain) {
  Histogram sum;
  Histogram other;
  sum.add(4);
  other.add(8);
  other.add(9);
  sum.add(other);
  EXPECT_EQ(sum.count(), 3U);
  EXPECT_EQ(sum.percentile(50), 8U);
  EXPECT_EQ(sum.largest(), 9U);
  sum.clear();
  EXPECT_EQ(sum.count(), 0U);
  EXPECT_EQ(sum.largest(), 0U);
  EXPECT_EQ(sum.percentile(100), 0U);
}

}  // namespace
}  // namespace guest
