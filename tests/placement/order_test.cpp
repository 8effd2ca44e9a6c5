#include "placement/order.hpp"

#include <gtest/gtest.h>

#include <array>

#include "fleets.hpp"
#include "placement/policy.hpp"

namespace placement {
namespace {

/// A VM that fills a host.
Vm filling(std::string name, HostIndex where) {
  Vm guest = vm(std::move(name), where, {1});
  guest.memory = 4096 * kMebibyte;
  return guest;
}

TEST(OrderOfMoves, IsNothingWhereNothingMoves) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {1})};
  const Order order = order_moves(fleet, places_of(fleet));
  EXPECT_TRUE(order.steps.empty());
  EXPECT_TRUE(order.stuck.empty());
}

TEST(OrderOfMoves, WaitsUntilThereIsRoom) {
  Fleet fleet = hosts(3);
  fleet.vms = {filling("a", 0), filling("b", 1)};
  const Order order = order_moves(fleet, std::vector<HostIndex>{1, 2});
  ASSERT_EQ(order.steps.size(), 2U);
  EXPECT_EQ(order.steps[0].at(0).vm, 1U);
  EXPECT_EQ(order.steps[1].at(0).vm, 0U);
}

TEST(OrderOfMoves, BreaksACircleByAThirdHost) {
  Fleet fleet = hosts(3);
  fleet.vms = {filling("a", 0), filling("b", 1)};
  fleet.vms[1].used = kMebibyte;
  const Order order = order_moves(fleet, std::vector<HostIndex>{1, 0});
  EXPECT_TRUE(order.stuck.empty());
  ASSERT_EQ(order.steps.size(), 3U);
  // The one that takes fewer bytes waits.
  EXPECT_EQ(order.steps[0].at(0).vm, 1U);
  EXPECT_EQ(order.steps[0].at(0).to, 2U);
  EXPECT_EQ(order.steps[1].at(0).vm, 0U);
  EXPECT_EQ(order.steps[2].at(0).from, 2U);
  EXPECT_EQ(order.steps[2].at(0).to, 0U);
}

TEST(OrderOfMoves, SaysWhyACircleCannotBeBroken) {
  Fleet fleet = hosts(2);
  fleet.vms = {filling("a", 0), filling("b", 1)};
  const Order order = order_moves(fleet, std::vector<HostIndex>{1, 0});
  EXPECT_TRUE(order.steps.empty());
  ASSERT_EQ(order.stuck.size(), 2U);
  EXPECT_NE(order.stuck[0].why.find("no third host"), std::string::npos);
}

TEST(OrderOfMoves, SaysThatATargetHasNoRoom) {
  Fleet fleet = hosts(2);
  // 51 % each on average: by the latest sample alone they would have room together.
  for (Host& host : fleet.hosts) host.cpu = host.core = 1;
  const std::vector<double> falls = {90, 90, 90, 80, 70, 60, 50, 40, 30, 20, 10, 5};
  fleet.vms = {vm("a", 0, falls), vm("b", 1, falls)};
  const Order order = order_moves(fleet, std::vector<HostIndex>{1, 1});
  EXPECT_TRUE(order.steps.empty());
  ASSERT_EQ(order.stuck.size(), 1U);
  EXPECT_EQ(order.stuck[0].why,
            "h1 has no room for it beside what else is to be there, since for CPU counts the "
            "latest sample, or the mean if that is more");
}

std::size_t count_moves(const Order& order) {
  std::size_t count = 0;
  for (const auto& step : order.steps) count += step.size();
  return count;
}

TEST(OrderOfMoves, MovesNothingAsideThatHelpsNobody) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 0, {1}), filling("b", 1)};
  // For a there would be room at host 2, but none ever for b at host 0.
  fleet.hosts[0].memory = fleet.hosts[2].memory = 1024 * kMebibyte;
  const Order order = order_moves(fleet, std::vector<HostIndex>{1, 0});
  EXPECT_TRUE(order.steps.empty());
  ASSERT_EQ(order.stuck.size(), 2U);
  for (const Stuck& stuck : order.stuck) EXPECT_EQ(stuck.at, fleet.vms[stuck.vm].host);
}

TEST(OrderOfMoves, MovesNothingAsideThatOnlyWaits) {
  Fleet fleet = hosts(4);
  fleet.vms = {filling("a", 0), filling("b", 1), vm("waits", 2, {1})};
  fleet.hosts[0].memory += 512 * kMebibyte;
  fleet.vms[2].used = kMebibyte;
  const Order order = order_moves(fleet, std::vector<HostIndex>{1, 0, 0});
  EXPECT_EQ(count_moves(order), 4U);
  EXPECT_TRUE(order.stuck.empty());
}

TEST(OrderOfMoves, SaysWhereAVmIsThatMadeRoomAndGetsNoFurther) {
  Fleet fleet = hosts(3);
  fleet.vms = {vm("a", 0, {1}), filling("b", 1)};
  fleet.vms[0].used = kMebibyte;
  fleet.hosts[1].memory = 256 * kMebibyte;
  const Order order = order_moves(fleet, std::vector<HostIndex>{1, 0});
  EXPECT_EQ(count_moves(order), 2U);
  ASSERT_EQ(order.stuck.size(), 1U);
  EXPECT_EQ(order.stuck[0].vm, 0U);
  EXPECT_EQ(order.stuck[0].at, 2U);
  EXPECT_EQ(order.stuck[0].to, 1U);
}

constexpr std::uint64_t kGibibyte = 1024 * kMebibyte;

Vm sized(std::string name, HostIndex where, std::uint64_t gibibytes, double cpu) {
  Vm guest = vm(std::move(name), where, {100});
  guest.memory = gibibytes * kGibibyte;
  guest.cpu_size = cpu;
  return guest;
}

TEST(OrderOfMoves, HasNoneTakeTheRoomThatOthersNeedFirst) {
  Fleet fleet = hosts(3);
  const std::array<std::uint64_t, 3> memory = {12, 4, 8};
  const std::array<double, 3> cpu = {8, 1, 8};
  for (HostIndex host = 0; host < 3; ++host) {
    fleet.hosts[host].memory = memory[host] * kGibibyte;
    fleet.hosts[host].cpu = fleet.hosts[host].core = cpu[host];
  }
  // Should b go to host 0 before y, neither x nor y gets any further.
  fleet.vms = {sized("t", 0, 1, 2), sized("x", 0, 6, 0.02), sized("b", 1, 4, 0.9),
               sized("u", 2, 1, 2), sized("y", 2, 4, 1.8)};
  const Order order = order_moves(fleet, std::vector<HostIndex>{0, 2, 0, 2, 0});
  EXPECT_TRUE(order.stuck.empty());
  EXPECT_EQ(count_moves(order), 3U);
}

/// Each VM in the place of another of its size, hosts without room, and one that is empty: a detour
/// for every pair. To look at all VMs and hosts for each takes a minute.
TEST(OrderOfMoves, OfManyPairsThatChangePlacesIsFoundSoon) {
  constexpr std::size_t kHosts = 1000;
  constexpr std::size_t kVmsOfEach = 10;
  Fleet fleet = hosts(kHosts + 1);
  std::vector<HostIndex> targets;
  for (HostIndex at = 0; at < kHosts; ++at) {
    fleet.hosts[at].memory = 0;
    for (std::size_t i = 0; i < kVmsOfEach; ++i) {
      Vm& guest = fleet.vms.emplace_back(vm("v", at, {1}));
      guest.memory = guest.used = (1 + at / 2 * kVmsOfEach + i) * kMebibyte;
      fleet.hosts[at].memory += guest.memory;
      targets.push_back(at ^ 1U);
    }
  }
  fleet.hosts[kHosts].memory = kHosts * kVmsOfEach * kMebibyte;
  const Order order = order_moves(fleet, targets);
  EXPECT_TRUE(order.stuck.empty());
  EXPECT_EQ(count_moves(order), kHosts * kVmsOfEach * 3 / 2);
}

TEST(OrderOfMoves, UsesLinksThatAreNotShared) {
  Fleet fleet = hosts(4);
  fleet.vms = {vm("a", 0, {1}), vm("b", 1, {1})};
  EXPECT_EQ(order_moves(fleet, std::vector<HostIndex>{2, 3}).steps.size(), 1U);
  EXPECT_EQ(order_moves(fleet, std::vector<HostIndex>{2, 2}).steps.size(), 2U);
}

TEST(OrderOfMoves, HasSmallMovesShareALinkWhileTheyConverge) {
  Fleet fleet = hosts(2);
  fleet.vms = {vm("a", 0, {1}), vm("b", 0, {1})};
  for (Vm& vm : fleet.vms) vm.used = kMebibyte;
  const std::vector<HostIndex> targets = {1, 1};
  EXPECT_EQ(order_moves(fleet, targets).steps.size(), 1U);
  for (Vm& vm : fleet.vms) vm.dirty_pages_per_s = 0.6 * 125e6 / 4096;
  EXPECT_EQ(order_moves(fleet, targets).steps.size(), 2U);
}

}  // namespace
}  // namespace placement
