#include "placement/idle_together.hpp"

#include <gtest/gtest.h>

#include <set>

#include "fleets.hpp"

namespace placement {
namespace {

std::set<HostIndex> hosts_of(const Fleet& fleet, const std::vector<HostIndex>& places,
                             bool active) {
  std::set<HostIndex> found;
  for (VmIndex i = 0; i < places.size(); ++i) {
    if ((fleet.vms[i].cpu.back() > 50) == active) found.insert(places[i]);
  }
  return found;
}

TEST(IdleTogether, PutsIdleOnesTogetherAndActiveOnesOnHostsOfTheirOwn) {
  Fleet fleet = hosts(3);
  for (std::size_t i = 0; i < 15; ++i) {
    const bool busy = i % 5 == 0;
    Vm guest = vm("v" + std::to_string(i), i % 3, std::vector<double>(12, busy ? 100 : 2));
    guest.memory = 256 * kMebibyte;
    fleet.vms.push_back(guest);
  }
  const std::vector<HostIndex> places = IdleTogether().place(fleet);
  const std::set<HostIndex> idle = hosts_of(fleet, places, false);
  const std::set<HostIndex> active = hosts_of(fleet, places, true);
  EXPECT_EQ(idle.size(), 1U);
  EXPECT_EQ(active.size(), 1U);
  EXPECT_NE(idle, active);
}

TEST(IdleTogether, MovesNothingOnceAllAreInPlace) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 0, {2, 2}), vm("b", 0, {3, 2}), vm("c", 1, {100, 100}),
               vm("d", 1, {100, 100})};
  EXPECT_EQ(IdleTogether().place(fleet), places_of(fleet));
}

TEST(IdleTogether, LeavesAVmInBetweenWhereItIs) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {2, 2}), vm("between", 0, {20, 20}), vm("c", 1, {100, 100})};
  EXPECT_EQ(IdleTogether().place(fleet), places_of(fleet));
}

TEST(IdleTogether, RelievesAHostThatIsOverloaded) {
  Fleet fleet = hosts(2);
  for (int i = 0; i < 5; ++i) {
    fleet.vms.push_back(vm("v" + std::to_string(i), 0, std::vector<double>(12, 90)));
  }
  std::size_t moved = 0;
  for (const HostIndex place : IdleTogether().place(fleet)) moved += place;
  EXPECT_EQ(moved, 1U);
}

TEST(IdleTogether, EmptiesNoHostWhenThatCostsMoreThanItSaves) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {2}), vm("b", 1, {2})};
  EXPECT_NE(IdleTogether().place(fleet), places_of(fleet));
  IdleTogether::Settings settings;
  settings.horizon_seconds = 1;
  EXPECT_EQ(IdleTogether(settings).place(fleet), places_of(fleet));
}

/// A host that takes little and one that takes much, each with a VM that is busy.
Fleet thrifty_and_greedy() {
  Fleet fleet = hosts(2);
  fleet.hosts[0].watts = {50, 60};
  fleet.hosts[1].watts = {50, 500};
  fleet.hosts[1].cpu = fleet.hosts[1].core = 8;
  fleet.vms = {vm("a", 0, {75}), vm("b", 1, {100})};
  fleet.vms[0].cpu_size = 4;
  fleet.vms[1].cpu_size = 2;
  fleet.vms[1].used *= 2;
  return fleet;
}

TEST(IdleTogether, EmptiesNoHostWhenItsVmsTakeMoreElsewhere) {
  const Fleet fleet = thrifty_and_greedy();
  EXPECT_EQ(IdleTogether().place(fleet), places_of(fleet));
}

TEST(IdleTogether, EmptiesAnyHostOfWhichWattsAreNotKnown) {
  Fleet fleet = thrifty_and_greedy();
  for (Host& host : fleet.hosts) host.watts.clear();
  EXPECT_EQ(IdleTogether().place(fleet), (std::vector<HostIndex>{1, 1}));
}

TEST(IdleTogether, EmptiesNoHostThatTakesNothingWhenIdle) {
  Fleet fleet = hosts(2);
  for (Host& host : fleet.hosts) host.watts = {0, 100};
  fleet.vms = {vm("a", 0, {2}), vm("b", 1, {2})};
  EXPECT_EQ(IdleTogether().place(fleet), places_of(fleet));
}

TEST(IdleTogether, PrefersAHostThatKeepsAnImage) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 0, {2}), vm("b", 1, {9}), vm("c", 1, {9}), vm("d", 2, {5}), vm("e", 2, {5})};
  fleet.vms[0].kept_at = {2};
  EXPECT_EQ(IdleTogether().place(fleet)[0], 2U);
}

}  // namespace
}  // namespace placement
