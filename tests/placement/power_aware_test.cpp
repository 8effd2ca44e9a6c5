#include "placement/power_aware.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "fleets.hpp"

namespace placement {
namespace {

TEST(LocalRegression, GoesOnAlongALine) {
  const std::array<double, 5> line = {1, 3, 5, 7, 9};
  for (const bool weighed : {false, true}) EXPECT_NEAR(extrapolate(line, 2, weighed), 13, 1e-9);
}

TEST(LocalRegression, HeedsLateSamplesMore) {
  const std::array<double, 6> turned = {0, 0, 0, 0, 1, 2};
  EXPECT_GT(extrapolate(turned, 1, true), extrapolate(turned, 1, false));
}

TEST(LocalRegression, OfOneSampleIsThatSample) {
  EXPECT_DOUBLE_EQ(extrapolate(std::array{4.0}, 3, true), 4);
}

TEST(PowerAware, TakesTheVmWithLeastMemoryFromAnOverloadedHost) {
  Fleet fleet = hosts(2);
  for (int i = 0; i < 4; ++i) {
    fleet.vms.push_back(vm("v" + std::to_string(i), 0, std::vector<double>(10, 90)));
  }
  fleet.vms[2].used = kMebibyte;
  EXPECT_EQ(PowerAware().place(fleet), (std::vector<HostIndex>{0, 0, 1, 0}));
}

TEST(PowerAware, EmptiesTheHostThatDoesLeast) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, std::vector<double>(10, 5)), vm("b", 1, std::vector<double>(10, 50))};
  EXPECT_EQ(PowerAware().place(fleet), (std::vector<HostIndex>{1, 1}));
}

TEST(PowerAware, EmptiesAHostWhoseVmsUseNoCpu) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {}), vm("b", 1, {})};
  EXPECT_EQ(PowerAware().place(fleet), (std::vector<HostIndex>{1, 1}));
  EXPECT_EQ(PowerAware::as_published().place(fleet), places_of(fleet));
}

TEST(PowerAware, ChoosesTheHostWhereAVmCostsLeastPower) {
  Fleet fleet = hosts(3);
  fleet.hosts[2].watts = {100, 120};
  fleet.vms = {vm("a", 0, std::vector<double>(10, 5)), vm("b", 1, std::vector<double>(10, 50)),
               vm("c", 2, std::vector<double>(10, 60))};
  EXPECT_EQ(PowerAware().place(fleet)[0], 2U);
}

TEST(PowerAware, CountsWhatItCostsToSwitchAHostOn) {
  Fleet fleet = hosts(3);
  fleet.hosts[2].watts = {100, 120};
  for (int i = 0; i < 4; ++i) {
    fleet.vms.push_back(vm("v" + std::to_string(i), 0, std::vector<double>(10, 90)));
  }
  fleet.vms.push_back(vm("other", 1, std::vector<double>(10, 90)));
  fleet.vms[0].used = kMebibyte;
  EXPECT_EQ(PowerAware().place(fleet)[0], 1U);
  EXPECT_EQ(PowerAware::as_published().place(fleet)[0], 2U);
}

/// What hosts are given in the round counts against them, once for each VM that follows.
TEST(PowerAware, AsPublishedSpreadsTheVmsOfARound) {
  Fleet fleet = hosts(3);
  for (int i = 0; i < 5; ++i) {
    fleet.vms.push_back(vm("v" + std::to_string(i), 0, std::vector<double>(10, 90)));
  }
  for (const HostIndex host : {1U, 1U, 2U, 2U}) {
    fleet.vms.push_back(vm("other", host, std::vector<double>(10, 65)));
  }
  fleet.vms[0].used = fleet.vms[1].used = kMebibyte;
  const auto places = PowerAware::as_published().place(fleet);
  EXPECT_NE(places[0], 0U);
  EXPECT_NE(places[1], 0U);
  EXPECT_NE(places[0], places[1]);
}

TEST(PowerAware, SaysWhichVmsWouldBeMovedTwice) {
  Fleet fleet = hosts(3);
  for (int i = 0; i < 4; ++i) {
    fleet.vms.push_back(vm("v" + std::to_string(i), 0, std::vector<double>(10, 90)));
  }
  fleet.vms[0].used = kMebibyte;
  fleet.hosts[1].watts = {100, 101};  // where a VM costs least, and which is emptied then
  fleet.vms.push_back(vm("idle", 1, std::vector<double>(10, 1)));
  fleet.vms.push_back(vm("busy", 2, std::vector<double>(10, 50)));
  std::vector<VmIndex> moved_on;
  const auto places = PowerAware::as_published().place(fleet, moved_on);
  EXPECT_EQ(places[0], 2U);
  EXPECT_EQ(moved_on, std::vector<VmIndex>{0});
}

}  // namespace
}  // namespace placement
