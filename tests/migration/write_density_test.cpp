#include "migration/policy/write_density.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace migration {
namespace {

void add(WriteDensity& density, double ratio, int windows) {
  for (int i = 0; i < windows; ++i) density.add(ratio);
}

TEST(WriteDensity, IsEmptyAtFirst) {
  const WriteDensity density;
  EXPECT_TRUE(density.empty());
  EXPECT_EQ(density.low(), 0);
}

TEST(WriteDensity, IsOfAFewPerCentLittleWhereTheGuestWritesAlike) {
  WriteDensity density;
  add(density, 0.9, 20);
  EXPECT_FALSE(density.empty());
  EXPECT_GE(density.low(), 0.9);
  EXPECT_LE(density.low(), 0.9 * 1.42);
}

TEST(WriteDensity, KnowsHowLittleTheGuestWritesInOneWindowOfTen) {
  WriteDensity density;
  add(density, 2, 90);
  add(density, 0.01, 9);
  EXPECT_GE(density.low(), 2);
  density.add(0.01);
  EXPECT_LE(density.low(), 0.015);
}

TEST(WriteDensity, ForgetsWhatWasLongAgo) {
  WriteDensity density;
  add(density, 0.01, 200);
  add(density, 2, 1000);
  EXPECT_GE(density.low(), 2);
}

TEST(WriteDensity, HasABinForEveryNumber) {
  WriteDensity density;
  density.add(0);
  EXPECT_LE(density.low(), 1e-4);
  density.add(-1);
  density.add(std::numeric_limits<double>::quiet_NaN());
  EXPECT_LE(density.low(), 1e-4);
  WriteDensity fast;
  fast.add(std::numeric_limits<double>::infinity());
  EXPECT_GE(fast.low(), 32);
}

}  // namespace
}  // namespace migration
