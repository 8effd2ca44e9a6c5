#include "tests/migration/push_order_simulation.hpp"

#include <gtest/gtest.h>

#include <random>

namespace migration {
namespace {

// 256 MiB over a link of 9,000 pages/s (300 Mbit/s), chunks of 16 pages, a round trip of 0.5 ms.
// Touches per second are those of all vCPUs together.

constexpr std::uint64_t kGuestPages = 65'536;
constexpr vmm::PageIndex kMiddle = 30'000;

Touches sequential(vmm::PageIndex from, std::size_t count, std::int64_t step = 1) {
  Touches touches(count);
  for (vmm::PageIndex& page : touches) {
    page = from;
    from += static_cast<vmm::PageIndex>(step);
  }
  return touches;
}

/// 90 % of touches in a contiguous eighth of RAM, the others anywhere.
Touches skewed(std::size_t count) {
  std::mt19937_64 random(1);
  Touches touches(count);
  for (vmm::PageIndex& page : touches) {
    page = random() % 10 != 0 ? kMiddle + random() % (kGuestPages / 8) : random() % kGuestPages;
  }
  return touches;
}

Touches uniform(std::size_t count) {
  std::mt19937_64 random(2);
  Touches touches(count);
  for (vmm::PageIndex& page : touches) page = random() % kGuestPages;
  return touches;
}

std::vector<Touches> vcpus(unsigned count, std::size_t touches) {
  std::vector<Touches> result;
  for (unsigned i = 0; i < count; ++i) {
    result.push_back(sequential(5'000 + 60'000 / count * i, touches));
  }
  return result;
}

struct Outcomes {
  SimulatedOutcome bubbling, linear, none;
};

Outcomes run(double touches, const std::vector<Touches>& guest) {
  const Simulation with{.ram_pages = kGuestPages,
                        .touches = touches / static_cast<double>(guest.size())};
  return {simulate(with, Prepaging::bubbling, guest), simulate(with, Prepaging::linear, guest),
          simulate(with, Prepaging::none, guest)};
}

/// What Hines and Gopalan found, and what bubbling is for.
void expect_few_faults(const Outcomes& outcomes) {
  const auto faults = static_cast<double>(outcomes.bubbling.faults);
  EXPECT_LE(faults, 0.5 * static_cast<double>(outcomes.linear.faults));
  EXPECT_LE(faults, 0.25 * static_cast<double>(outcomes.none.faults));
  EXPECT_LE(faults, 0.21 * static_cast<double>(outcomes.bubbling.working_set));
  EXPECT_LE(outcomes.bubbling.guest_seconds, outcomes.linear.guest_seconds);
}

TEST(PushOrderSimulation, FetchesEachPageOfTheWorkingSetByAFaultWithoutPrepaging) {
  const SimulatedOutcome none =
      simulate({.ram_pages = kGuestPages}, Prepaging::none, {sequential(kMiddle, 5'000)});
  EXPECT_EQ(none.faults, 5'000U);
  EXPECT_EQ(none.working_set, 5'000U);
  // A touch, the page on the link, and what the request waits for the link's next slot.
  EXPECT_NEAR(none.guest_seconds / 5'000, 250e-6 + 500e-6 + 111e-6, 60e-6);
}

TEST(PushOrderSimulation, SparesASequentialGuestAlmostAllFaults) {
  for (const double touches : {4'000., 10'000., 20'000.}) {
    const Outcomes up = run(touches, {sequential(kMiddle, 20'000)});
    expect_few_faults(up);
    EXPECT_LE(up.bubbling.faults, 50U) << touches;
    const Outcomes down = run(touches, {sequential(kMiddle, 20'000, -1)});
    expect_few_faults(down);
    EXPECT_LE(down.bubbling.faults, 50U) << touches;
  }
}

// At 4,000 touches/s. A guest that touches more cold pages than that faults on them in any order.
TEST(PushOrderSimulation, SparesAGuestWithAHotRegionMostFaults) {
  expect_few_faults(run(4'000, {skewed(32'000)}));
}

TEST(PushOrderSimulation, ServesSeveralSequentialVcpusAtATime) {
  expect_few_faults(run(4'000, vcpus(4, 8'000)));
  expect_few_faults(run(10'000, vcpus(4, 8'000)));
  expect_few_faults(run(4'000, vcpus(8, 4'000)));
  expect_few_faults(run(10'000, vcpus(8, 4'000)));
}

TEST(PushOrderSimulation, ServesAGuestThatReadsColumnsOfAMatrix) {
  for (const vmm::PageIndex stride : {8U, 64U}) {
    Touches touches;
    for (vmm::PageIndex column = 0; column < stride; ++column) {
      for (vmm::PageIndex page = column; page < 16'000; page += stride) {
        touches.push_back(kMiddle + page);
      }
    }
    expect_few_faults(run(4'000, {touches}));
  }
}

TEST(PushOrderSimulation, CostsNothingWhereThereIsNoLocality) {
  for (const std::uint64_t chunk : {16U, 512U}) {
    const Simulation with{.ram_pages = kGuestPages, .chunk = chunk, .ahead = 2 * chunk};
    const std::vector<Touches> guest{uniform(30'000)};
    const SimulatedOutcome bubbling = simulate(with, Prepaging::bubbling, guest);
    const SimulatedOutcome linear = simulate(with, Prepaging::linear, guest);
    EXPECT_LE(static_cast<double>(bubbling.faults), 1.05 * static_cast<double>(linear.faults));
    EXPECT_LE(static_cast<double>(bubbling.proposals), 1.1 * static_cast<double>(linear.proposals));
    EXPECT_LE(bubbling.guest_seconds, 1.05 * linear.guest_seconds);
  }
}

}  // namespace
}  // namespace migration
