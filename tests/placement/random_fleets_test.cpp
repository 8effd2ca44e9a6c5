#include <gtest/gtest.h>

#include <random>
#include <string_view>

#include "fleets.hpp"
#include "placement/balance.hpp"
#include "placement/drain.hpp"
#include "placement/loads.hpp"
#include "placement/order.hpp"
#include "placement/plan.hpp"
#include "placement/policies.hpp"

namespace placement {
namespace {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }

 private:
  std::mt19937_64 engine_;
};

/// Full and empty hosts, VMs of all sizes; some hosts have more than fits them.
Fleet random_fleet(std::uint64_t seed) {
  Random random(seed);
  Fleet fleet = hosts(2 + random.below(12));
  for (Host& host : fleet.hosts) {
    host.memory = (1024 + 1024 * random.below(8)) * kMebibyte;
    host.cpu = 1 + static_cast<double>(random.below(8));
    host.core = random.below(3) == 0 ? 1 : host.cpu;
    host.link = random.below(2) == 0 ? 125e6 : 12.5e6;
    if (random.below(8) == 0) host.watts.clear();
  }
  const std::uint64_t count = random.below(60);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::vector<double> cpu;
    for (std::uint64_t left = random.below(20); left > 0; --left) {
      cpu.push_back(static_cast<double>(random.below(random.below(4) == 0 ? 101 : 15)));
    }
    Vm guest = vm("v" + std::to_string(i), random.below(fleet.hosts.size()), std::move(cpu));
    guest.memory = (64 + random.below(2048)) * kMebibyte;
    guest.used = random.below(guest.memory);
    guest.cpu_size = 0.25 + static_cast<double>(random.below(4));
    guest.dirty_pages_per_s = static_cast<double>(random.below(40'000));
    guest.pinned = random.below(10) == 0;
    if (random.below(3) == 0) guest.kept_at.push_back(random.below(fleet.hosts.size()));
    fleet.vms.push_back(std::move(guest));
  }
  return fleet;
}

/// Goes through the plan step by step. In the end each VM is at its target, or stuck where the
/// plan says.
void check(const Fleet& fleet, const std::vector<HostIndex>& targets) {
  const Plan plan = make_plan(fleet, targets);
  Loads loads(fleet);
  std::vector<HostIndex> places = places_of(fleet);
  std::size_t step = 1;
  std::vector<const Move*> under_way;
  const auto end_step = [&] {
    for (const Move* move : under_way) loads.remove(move->vm, move->from);
    under_way.clear();
  };
  for (const Move& move : plan.moves) {
    ASSERT_TRUE(move.step == step || move.step == step + 1);
    if (move.step != step) end_step();
    step = move.step;
    ASSERT_FALSE(fleet.vms[move.vm].pinned);
    ASSERT_EQ(places[move.vm], move.from);
    ASSERT_NE(move.to, move.from);
    ASSERT_TRUE(loads.fits(move.vm, move.to)) << "step " << step << " vm " << move.vm;
    loads.add(move.vm, move.to);
    under_way.push_back(&move);
    places[move.vm] = move.to;
  }
  end_step();
  std::vector<HostIndex> expected = targets;
  for (const Stuck& stuck : plan.stuck) {
    ASSERT_EQ(stuck.to, targets[stuck.vm]);
    ASSERT_NE(stuck.at, stuck.to);
    ASSERT_EQ(expected[stuck.vm], stuck.to) << "named twice";
    expected[stuck.vm] = stuck.at;
  }
  ASSERT_EQ(places, expected);
  std::size_t on = 0;
  for (HostIndex host = 0; host < fleet.hosts.size(); ++host) on += loads.at(host).vms > 0 ? 1 : 0;
  EXPECT_EQ(on, plan.after.hosts_on);
}

/// Once all are at their targets, nothing that has moved is where there is no room for it.
void check_room(const Fleet& fleet, const std::vector<HostIndex>& targets) {
  Loads loads(fleet);
  for (VmIndex vm = 0; vm < targets.size(); ++vm) {
    loads.remove(vm, fleet.vms[vm].host);
    loads.add(vm, targets[vm]);
  }
  for (VmIndex vm = 0; vm < targets.size(); ++vm) {
    if (targets[vm] == fleet.vms[vm].host) continue;
    loads.remove(vm, targets[vm]);
    ASSERT_TRUE(loads.fits(vm, targets[vm])) << "vm " << vm;
    loads.add(vm, targets[vm]);
  }
}

class EveryPolicy : public testing::TestWithParam<const char*> {};

TEST_P(EveryPolicy, FitsAtEveryStep) {
  const auto policy = policy_of(GetParam());
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    const Fleet fleet = random_fleet(seed);
    const std::vector<HostIndex> targets = policy->place(fleet);
    check(fleet, targets);
    // That one goes by the latest sample alone.
    if (std::string_view(GetParam()) != "baseline") {
      check_room(fleet, targets);
      EXPECT_TRUE(order_moves(fleet, targets).stuck.empty());
    }
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy,
                         testing::Values("paper", "power-aware", "baseline", "first-fit"));

TEST(AnyFleet, FitsAtEveryStepWhenDrainedOrBalanced) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    const Fleet fleet = random_fleet(seed);
    for (const auto& targets :
         {Drain({0}).place(fleet), Drain({0, 1}).place(fleet), Balance().place(fleet)}) {
      check(fleet, targets);
      check_room(fleet, targets);
    }
    if (HasFatalFailure()) return;
  }
}

/// Whoever must swap is the hard case of an order.
TEST(AnyFleet, FitsAtEveryStepOnTheWayToAnyTargets) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    Fleet fleet = random_fleet(seed);
    for (Vm& vm : fleet.vms) vm.pinned = false;
    Random random(seed);
    std::vector<HostIndex> targets;
    for (std::size_t i = 0; i < fleet.vms.size(); ++i) {
      targets.push_back(random.below(fleet.hosts.size()));
    }
    check(fleet, targets);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace placement
