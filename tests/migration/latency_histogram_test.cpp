#include "migration/base/latency_histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace migration {
namespace {

using Buckets = std::vector<LatencyHistogram::Bucket>;

TEST(LatencyHistogram, SaysNothingOfNothing) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.percentile(50), 0);
  EXPECT_EQ(histogram.percentile(100), 0);
  EXPECT_TRUE(histogram.buckets().empty());
}

TEST(LatencyHistogram, KnowsASingleLatencyExactly) {
  LatencyHistogram histogram;
  histogram.add(321.5);
  for (const double percent : {0., 50., 100.}) EXPECT_EQ(histogram.percentile(percent), 321.5);
  EXPECT_EQ(histogram.max(), 321.5);
}

TEST(LatencyHistogram, GivesPercentilesWithinAThirtySecond) {
  std::mt19937_64 random(4);
  std::lognormal_distribution<double> latency(6, 1.5);
  LatencyHistogram histogram;
  std::vector<double> all(10'000);
  for (double& us : all) {
    us = 1 + latency(random);
    histogram.add(us);
  }
  std::ranges::sort(all);
  for (const double percent : {0.1, 1., 10., 50., 90., 99., 99.9, 99.99}) {
    const double exact = all[static_cast<std::size_t>(std::lround(percent * 100)) - 1];
    EXPECT_NEAR(histogram.percentile(percent), exact, exact / 32) << percent;
  }
  EXPECT_EQ(histogram.percentile(100), all.back());
  EXPECT_EQ(histogram.count(), all.size());
}

TEST(LatencyHistogram, TakesTheNearestRank) {
  LatencyHistogram histogram;
  for (const double us : {10., 20., 1000., 5000.}) histogram.add(us);
  EXPECT_NEAR(histogram.percentile(25), 10, 0.5);
  EXPECT_NEAR(histogram.percentile(25.1), 20, 1);
  EXPECT_NEAR(histogram.percentile(50), 20, 1);
  EXPECT_NEAR(histogram.percentile(75), 1000, 50);
  EXPECT_EQ(histogram.percentile(75.1), 5000);
}

TEST(LatencyHistogram, RoundsNoRankUpByAnErrorOfArithmetic) {
  LatencyHistogram histogram;
  for (int i = 0; i < 9990; ++i) histogram.add(10);
  for (int i = 0; i < 10; ++i) histogram.add(1000);
  EXPECT_NEAR(histogram.percentile(99.9), 10, 0.5);
}

TEST(LatencyHistogram, ReportsPowersOfTwoFromTheFirstToTheLast) {
  LatencyHistogram histogram;
  for (const double us : {16., 31.9, 32., 200., 255.}) histogram.add(us);
  EXPECT_EQ(histogram.buckets(), (Buckets{{32, 2}, {64, 1}, {128, 0}, {256, 2}}));
  histogram.add(0.2);
  EXPECT_EQ(histogram.buckets().front(), (LatencyHistogram::Bucket{1, 1}));
  EXPECT_EQ(histogram.buckets().size(), 9U);
}

TEST(LatencyHistogram, TakesTheShortestAndTheLongest) {
  LatencyHistogram histogram;
  histogram.add(0);
  EXPECT_EQ(histogram.percentile(50), 0);
  histogram.add(1e15);
  histogram.add(1);
  EXPECT_EQ(histogram.max(), 1e15);
  EXPECT_EQ(histogram.percentile(100), 1e15);
  EXPECT_EQ(histogram.buckets().front(), (LatencyHistogram::Bucket{1, 1}));
  EXPECT_EQ(histogram.buckets()[1], (LatencyHistogram::Bucket{2, 1}));
  EXPECT_EQ(histogram.buckets().back().count, 1U);
}

}  // namespace
}  // namespace migration
