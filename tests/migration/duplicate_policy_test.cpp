#include "migration/policy/duplicate_policy.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace migration {
namespace {

constexpr double kBytes = 4096;
constexpr double kLink = 125e6;

void look(DuplicatePolicy& policy, int pages, int one_in, double seconds) {
  for (int i = 0; i < pages; ++i) policy.looked(kBytes, i % one_in == 0, seconds);
}

TEST(DuplicatePolicy, HashesWhereTheLinkIsKnownToBeSlow) {
  EXPECT_TRUE(DuplicatePolicy().pays(kLink));
  EXPECT_FALSE(DuplicatePolicy().pays(10 * kLink));
  EXPECT_FALSE(DuplicatePolicy().pays(std::numeric_limits<double>::infinity()));
}

TEST(DuplicatePolicy, FollowsTheTimeThatHashingTakes) {
  DuplicatePolicy policy;
  look(policy, 1024, 10, 1e-6);
  EXPECT_TRUE(policy.pays(4 * kLink));
  look(policy, 1024, 10, 20e-6);
  EXPECT_FALSE(policy.pays(kLink));
  // A busy moment is not for ever.
  policy.passed_over(64 << 20);
  EXPECT_TRUE(policy.pays(kLink));
}

TEST(DuplicatePolicy, GivesUpWhereHardlyAnyAreFound) {
  DuplicatePolicy rare, some;
  look(rare, 32768, 1024, 1e-6);
  EXPECT_FALSE(rare.pays(kLink));
  look(some, 32768, 100, 1e-6);
  EXPECT_TRUE(some.pays(kLink));
}

}  // namespace
}  // namespace migration
