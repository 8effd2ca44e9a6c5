#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "migration/model/run.hpp"
#include "migration/model/writer.hpp"

/// What holds of pre-copy with any guest over any link.
namespace migration::model {
namespace {

constexpr std::uint64_t kScenarios = 800;  // in each of four tests

/// From `least` to `most`, as likely in each order of magnitude.
double between(Random& random, double least, double most) {
  return least * std::pow(most / least, random.share());
}

bool chance(Random& random, double share) { return random.share() < share; }

WritePattern any_writes(Random& random, std::uint64_t pages, double link_pages) {
  constexpr std::array kWheres{WritePattern::Where::uniform, WritePattern::Where::hot_cold,
                               WritePattern::Where::sweep, WritePattern::Where::zipf};
  WritePattern writes;
  writes.where = kWheres.at(random.below(kWheres.size()));
  writes.region.first = random.below(pages);
  writes.region.count = 1 + random.below(pages - writes.region.first);
  writes.per_second = link_pages * between(random, 0.001, 4);
  writes.hot_share = random.share();
  writes.hot_writes = random.share();
  writes.exponent = 0.5 + random.share();
  if (chance(random, 0.5)) {
    writes.busy_seconds = between(random, 0.001, 2);
    writes.quiet_seconds = between(random, 0.001, 2);
  }
  return writes;
}

Scenario any(std::uint64_t seed) {
  constexpr std::array kModes{Mode::pre_copy, Mode::hybrid, Mode::automatic, Mode::automatic};
  Random random(seed);
  Scenario with;
  with.seed = seed;
  with.chunk = std::array<std::uint64_t, 3>{64, 256, 2048}.at(random.below(3));
  Link& link = with.link;
  // Every third is looked at often within a round: it has time and pages for that.
  const bool slow = chance(random, 1.0 / 3);
  link.bytes_per_second = slow ? between(random, 5e6, 40e6) : between(random, 2e6, 2e9);
  link.latency_seconds = chance(random, 0.5) ? between(random, 20e-6, 50e-3) : 20e-6;
  if (chance(random, 0.3)) {
    link.cap = static_cast<std::uint64_t>(link.bytes_per_second * between(random, 0.2, 2));
  }
  GuestShape& guest = with.guest;
  guest.pages = static_cast<std::uint64_t>(between(random, slow ? 4096 : 64, 16'384));
  guest.used = chance(random, 0.5) ? 1 : random.share();
  guest.zero = chance(random, 0.5) ? 0 : random.share();
  guest.page_bytes = chance(random, 0.5) ? 4096 : between(random, 100, 4096);
  guest.writes = any_writes(random, guest.pages, link.bytes_per_second / guest.page_bytes);
  with.settings.mode = kModes.at(random.below(kModes.size()));
  with.settings.max_downtime =
      std::chrono::microseconds(static_cast<std::int64_t>(between(random, 1e3, 3e6)));
  with.settings.max_rounds = chance(random, 0.5) ? 0 : 1 + static_cast<unsigned>(random.below(40));
  with.settings.hot_last = chance(random, 0.8);
  with.settings.throttle = chance(random, 0.3);
  return with;
}

unsigned rounds_at_most(const PreCopyDriver::Settings& settings) {
  if (settings.max_rounds != 0) return settings.max_rounds;
  return settings.mode == Mode::hybrid ? 1 : 30;
}

/// What the driver cannot know when it says that the rest fits.
double noise(const Scenario& with, const Outcome& outcome) {
  const Hosts& hosts = with.hosts;
  const double rate =
      with.link.cap == 0 ? with.link.bytes_per_second
                         : std::min(with.link.bytes_per_second, static_cast<double>(with.link.cap));
  // It counts on 3 ms for the hosts and the round trips.
  const double fixed =
      std::max(0.0, hosts.pause_seconds + hosts.save_seconds + hosts.restore_seconds +
                        4 * with.link.latency_seconds - 0.003);
  // What is written between its decision and the stop.
  const RoundReport& last = outcome.rounds.back();
  const std::uint64_t expected = outcome.rounds.at(outcome.rounds.size() - 2).dirtied;
  const auto more = static_cast<double>(last.pages - std::min(last.pages, expected));
  // Frame headers where runs are short, and the time that a page takes whatever its size.
  const auto pages = static_cast<double>(last.pages);
  return fixed + more * with.guest.page_bytes / rate + pages * 25 / rate +
         pages * hosts.page_seconds;
}

struct Counts {
  std::uint64_t fits = 0, out_of_rounds = 0, switched = 0, within_a_round = 0, held_back = 0,
                slowed = 0;
};

void judge(const Scenario& with, const Outcome& outcome, Counts& counts) {
  const auto& rounds = outcome.rounds;
  EXPECT_LE(rounds.size(), rounds_at_most(with.settings) + (outcome.switched ? 0 : 1));
  EXPECT_TRUE(std::isfinite(outcome.total_seconds));
  EXPECT_EQ(outcome.different, 0U);
  EXPECT_EQ(outcome.needless, 0U);
  if (outcome.held_back > 0) ++counts.held_back;
  if (rounds.back().throttle > 0) ++counts.slowed;
  if (outcome.switched) {
    ++counts.switched;
    if (outcome.switched->find("within round") != std::string::npos) ++counts.within_a_round;
    EXPECT_NE(with.settings.mode, Mode::pre_copy);
    return;
  }
  EXPECT_EQ(outcome.missing, 0U);
  if (outcome.why == Why::out_of_rounds) ++counts.out_of_rounds;
  if (outcome.why != Why::fits) return;
  ++counts.fits;
  const double most = std::chrono::duration<double>(with.settings.max_downtime).count();
  EXPECT_LE(outcome.downtime_seconds, most + noise(with, outcome));
}

class PreCopySimulation : public testing::TestWithParam<std::uint64_t> {};

TEST_P(PreCopySimulation, HoldsTheRulesWithAnyGuestOverAnyLink) {
  Counts counts;
  for (std::uint64_t i = 0; i < kScenarios; ++i) {
    const std::uint64_t seed = GetParam() * kScenarios + i;
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const Scenario with = any(seed);
    judge(with, run(with), counts);
  }
  fmt::print(
      "{} scenarios: {} fit, {} out of rounds, {} switched ({} within a round); {} with hot pages "
      "held back, {} slowed\n",
      kScenarios, counts.fits, counts.out_of_rounds, counts.switched, counts.within_a_round,
      counts.held_back, counts.slowed);
  // Each way out was tried.
  EXPECT_GE(counts.fits, kScenarios / 20);
  EXPECT_GE(counts.out_of_rounds, kScenarios / 50);
  EXPECT_GE(counts.within_a_round, kScenarios / 200);
  EXPECT_GE(counts.held_back, kScenarios / 50);
  EXPECT_GE(counts.slowed, kScenarios / 100);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PreCopySimulation, testing::Range<std::uint64_t>(0, 4));

}  // namespace
}  // namespace migration::model
