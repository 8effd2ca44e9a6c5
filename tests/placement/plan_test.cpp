#include "placement/plan.hpp"

#include <gtest/gtest.h>

#include "fleets.hpp"

namespace placement {
namespace {

TEST(Plan, SaysWhatItCostsAndSaves) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {100}), vm("b", 1, {100})};
  const Plan plan = make_plan(fleet, std::vector<HostIndex>{1, 1});
  ASSERT_EQ(plan.moves.size(), 1U);
  EXPECT_EQ(plan.before.hosts_on, 2U);
  EXPECT_DOUBLE_EQ(plan.before.watts, 250);
  EXPECT_EQ(plan.after.hosts_on, 1U);
  EXPECT_DOUBLE_EQ(plan.after.watts, 150);
  EXPECT_DOUBLE_EQ(plan.moves[0].saves_watts, 100);
  EXPECT_DOUBLE_EQ(plan.seconds, plan.moves[0].cost.seconds);
  EXPECT_GT(plan.bytes(), 256 * kMebibyte);
}

TEST(Plan, MovesByPostCopyWhatDoesNotConverge) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {100})};
  fleet.vms[0].dirty_pages_per_s = 50'000;
  const Plan plan = make_plan(fleet, std::vector<HostIndex>{1});
  EXPECT_EQ(plan.moves.at(0).mode, migration::Mode::post_copy);
}

TEST(Plan, TakesTheSlowerOfTheTwoLinks) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {100})};
  fleet.hosts[1].link /= 10;
  EXPECT_NEAR(make_plan(fleet, std::vector<HostIndex>{1}).seconds, 256 * kMebibyte / 12.5e6, 0.2);
}

}  // namespace
}  // namespace placement
