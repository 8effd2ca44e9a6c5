#include "placement/balance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "fleets.hpp"

namespace placement {
namespace {

TEST(Balance, SpreadsLoadEvenly) {
  Fleet fleet = hosts(3);
  for (int i = 0; i < 6; ++i) fleet.vms.push_back(vm("v" + std::to_string(i), 0, {50}));
  const std::vector<HostIndex> places = Balance().place(fleet);
  for (HostIndex host = 0; host < 3; ++host) EXPECT_EQ(std::ranges::count(places, host), 2);
}

TEST(Balance, GoesOnUntilAllAreEvenThoughSharesAreNoBinaryFractions) {
  Fleet fleet = hosts(3);
  for (Host& host : fleet.hosts) host.memory <<= 4;
  for (const double percent : {60, 90, 90, 80, 80, 70}) {
    fleet.vms.push_back(vm("v" + std::to_string(fleet.vms.size()), 0, {percent}));
  }
  std::array<double, 3> load{};
  const std::vector<HostIndex> places = Balance().place(fleet);
  for (VmIndex vm = 0; vm < places.size(); ++vm) load[places[vm]] += fleet.vms[vm].cpu[0];
  const auto [least, most] = std::ranges::minmax(load);
  EXPECT_LE(most - least, 20.1);
}

TEST(Balance, MovesNothingOfWhatIsEven) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {50}), vm("b", 1, {49})};
  EXPECT_EQ(Balance().place(fleet), places_of(fleet));
}

TEST(Balance, MovesTheVmThatTakesFewestBytes) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("big", 0, {80}), vm("small", 0, {80})};
  fleet.vms[1].used = kMebibyte;
  EXPECT_EQ(Balance().place(fleet), (std::vector<HostIndex>{0, 1}));
}

TEST(Balance, ComesToAnEndWhereNothingMayMove) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 0, {80}), vm("b", 0, {80})};
  for (Vm& vm : fleet.vms) vm.pinned = true;
  EXPECT_EQ(Balance().place(fleet), places_of(fleet));
}

}  // namespace
}  // namespace placement
