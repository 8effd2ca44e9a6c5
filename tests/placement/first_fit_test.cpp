#include "placement/first_fit.hpp"

#include <gtest/gtest.h>

#include "fleets.hpp"

namespace placement {
namespace {

TEST(FirstFit, TakesTheFirstHostWithRoom) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 2, {90}), vm("b", 1, {10}), vm("c", 2, {100})};
  fleet.hosts[0].memory = 1024 * kMebibyte;
  EXPECT_EQ(FirstFit().place(fleet), (std::vector<HostIndex>{0, 1, 0}));
}

TEST(FirstFit, LeavesAVmThatFitsNowhereElse) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 1, {90})};
  fleet.hosts[0].memory = 1;
  EXPECT_EQ(FirstFit().place(fleet), places_of(fleet));
}

}  // namespace
}  // namespace placement
