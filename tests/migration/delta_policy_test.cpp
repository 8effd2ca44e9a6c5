#include "migration/policy/delta_policy.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace migration {
namespace {

constexpr double kPage = 4096;
constexpr double kGbit = 125e6;
constexpr double kMicrosecond = 1e-6;

/// As many pages as are judged together.
void try_pages(DeltaPolicy& policy, double out, double seconds) {
  for (int i = 0; i < 512; ++i) policy.tried(kPage, out, seconds);
}

TEST(DeltaPolicy, WaitsUntilTheLinkIsKnown) {
  EXPECT_FALSE(DeltaPolicy().pays(std::numeric_limits<double>::infinity()));
}

TEST(DeltaPolicy, TriesOnASlowLinkAndNotOnAFastOne) {
  EXPECT_TRUE(DeltaPolicy().pays(kGbit));
  EXPECT_FALSE(DeltaPolicy().pays(10 * kGbit));
}

TEST(DeltaPolicy, FollowsTheSpeedThatWasMeasured) {
  DeltaPolicy policy;
  try_pages(policy, 100, 2 * kMicrosecond);
  EXPECT_TRUE(policy.pays(10 * kGbit));
  try_pages(policy, 100, 40 * kMicrosecond);
  EXPECT_FALSE(policy.pays(kGbit));
}

TEST(DeltaPolicy, PassesOverPagesThatDoNotShrinkAndTriesAgain) {
  DeltaPolicy policy;
  try_pages(policy, kPage, 2 * kMicrosecond);
  EXPECT_FALSE(policy.pays(kGbit));
  policy.passed_over(63 << 20);
  EXPECT_FALSE(policy.pays(kGbit));
  policy.passed_over(1 << 20);
  EXPECT_TRUE(policy.pays(kGbit));
  try_pages(policy, kPage, 2 * kMicrosecond);
  policy.passed_over(127 << 20);
  EXPECT_FALSE(policy.pays(kGbit));
  policy.passed_over(1 << 20);
  EXPECT_TRUE(policy.pays(kGbit));
}

}  // namespace
}  // namespace migration
