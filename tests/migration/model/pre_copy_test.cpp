#include "migration/model/run.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace migration::model {
namespace {

using namespace std::chrono_literals;

constexpr double kPage = 4096;

/// 256 MiB over 37.5 MB/s, 50 ms allowed; the guest writes its last pages, all alike, so that a
/// page stays clean for `tau` seconds on average.
Scenario uniform(double tau, std::uint64_t written = 65'536, std::uint64_t ram = 65'536) {
  Scenario with;
  with.link.bytes_per_second = 37.5e6;
  with.guest.pages = ram;
  with.guest.writes.region = {ram - written, written};
  with.guest.writes.per_second = static_cast<double>(written) / tau;
  with.settings.mode = Mode::automatic;
  with.settings.hot_last = false;
  return with;
}

/// Pages sent before the handover, in units of RAM.
double sent(const Scenario& with, const Outcome& outcome) {
  double pages = 0;
  for (const RoundReport& round : outcome.rounds) pages += static_cast<double>(round.pages);
  return pages / static_cast<double>(with.guest.pages);
}

double missing(const Scenario& with, const Outcome& outcome) {
  return static_cast<double>(outcome.missing) / static_cast<double>(with.guest.pages);
}

TEST(ModelPreCopy, TakesAsLongAsTheLinkNeedsForAnIdleGuest) {
  Scenario with = uniform(1);
  with.guest.writes.per_second = 0;
  with.link.latency_seconds = 0.01;
  const Outcome outcome = run(with);
  ASSERT_EQ(outcome.rounds.size(), 2U);
  EXPECT_EQ(outcome.why, Why::fits);
  EXPECT_EQ(outcome.rounds[0].pages, 65'536U);
  EXPECT_EQ(outcome.rounds[0].dirtied, 0U);
  EXPECT_NEAR(outcome.rounds[0].duration_ms, 1000 * 65'536 * kPage / 37.5e6 + 20, 5);
  EXPECT_EQ(outcome.rounds[1].pages, 0U);
  // Four times the way there, the hosts' part and the machine state.
  EXPECT_NEAR(outcome.downtime_seconds, 0.04 + 0.0017 + 16384 / 37.5e6, 1e-4);
  EXPECT_NEAR(outcome.total_seconds, 65'536 * kPage / 37.5e6 + 0.08, 0.01);
}

TEST(ModelPreCopy, SendsAtTheCap) {
  Scenario with = uniform(1);
  with.guest.writes.per_second = 0;
  const double uncapped = run(with).total_seconds;
  with.link.cap = 18'750'000;
  EXPECT_NEAR(run(with).total_seconds, 2 * uncapped, 0.01);
}

TEST(ModelPreCopy, SendsNothingForPagesThatNobodyTouchedAndNextToNothingForZeroPages) {
  Scenario with = uniform(1);
  with.guest.writes.per_second = 0;
  with.guest.zero = 1;
  EXPECT_LE(run(with).wire_bytes, 200'000U);
  EXPECT_EQ(run(with).rounds[0].pages, 65'536U);
  with.guest.used = 0;
  EXPECT_EQ(run(with).rounds[0].pages, 0U);
}

TEST(ModelPreCopy, IsTheSameForTheSameSeed) {
  Scenario with = uniform(20);
  const auto pages = [&] {
    std::vector<std::uint64_t> result;
    for (const RoundReport& round : run(with).rounds) result.push_back(round.pages);
    return result;
  };
  const auto first = pages();
  EXPECT_EQ(pages(), first);
  with.seed = 2;
  EXPECT_NE(pages(), first);
}

TEST(ModelPreCopy, SavesBytesByHoldingHotPagesBack) {
  Scenario with = uniform(0.25, 6'000);
  with.guest.writes.region.first = 30'000;
  with.settings.mode = Mode::pre_copy;
  with.settings.max_rounds = 2;
  const Outcome as_met = run(with);
  with.settings.hot_last = true;
  const Outcome held = run(with);
  EXPECT_EQ(as_met.held_back, 0U);
  EXPECT_GE(held.held_back, 4'000U);
  EXPECT_LE(held.rounds[0].pages, as_met.rounds[0].pages - 4'000);
}

TEST(ModelPreCopy, ConvergesWhereTheGuestIsSlowed) {
  Scenario with = uniform(0.25, 8'192, 16'384);
  with.settings.mode = Mode::pre_copy;
  EXPECT_EQ(run(with).why, Why::out_of_rounds);
  with.settings.throttle = true;
  const Outcome slowed = run(with);
  EXPECT_EQ(slowed.why, Why::fits);
  EXPECT_GT(slowed.rounds.back().throttle, 50U);
}

TEST(ModelPreCopy, LeavesTheRestToPostCopyAfterTheRoundsOfHybrid) {
  Scenario with = uniform(1, 8'192, 16'384);
  with.settings.mode = Mode::hybrid;
  const Outcome outcome = run(with);
  EXPECT_EQ(outcome.switched, "after 1 round of pre-copy, as asked for");
  EXPECT_EQ(outcome.rounds.size(), 1U);
  EXPECT_GE(outcome.missing, outcome.rounds[0].dirtied);
  EXPECT_LE(outcome.downtime_seconds, 0.01);
}

TEST(ModelPreCopy, SwitchesEarlyForAGuestThatWritesFasterThanTheLinkCarries) {
  const Scenario all = uniform(0.05);
  const Outcome outcome = run(all);
  EXPECT_TRUE(outcome.switched);
  EXPECT_LE(sent(all, outcome), 0.1);
  EXPECT_LE(sent(all, outcome) + missing(all, outcome), 1.3);
  // Half of RAM is idle, and is sent first.
  const Scenario half = uniform(0.25, 65'536, 131'072);
  const Outcome later = run(half);
  EXPECT_TRUE(later.switched);
  EXPECT_GE(sent(half, later), 0.5);
  EXPECT_LE(sent(half, later) + missing(half, later), 1.1);
}

TEST(ModelPreCopy, SwitchesNearTheMinimumForAGuestThatWritesAboutAsFast) {
  const Scenario with = uniform(2.6);
  const Outcome outcome = run(with);
  EXPECT_TRUE(outcome.switched);
  // However long pre-copy went on, no more than link x tau = 0.36 of RAM would be clean at a time.
  EXPECT_LE(missing(with, outcome), 0.8);
  EXPECT_LE(sent(with, outcome) + missing(with, outcome), 1.6);
}

TEST(ModelPreCopy, NeverSwitchesForAGuestThatWritesAQuarterOfWhatTheLinkCarries) {
  const double link_pages = 37.5e6 / kPage;
  const Scenario all = uniform(65'536 / (link_pages / 4));
  const Outcome outcome = run(all);
  EXPECT_FALSE(outcome.switched);
  EXPECT_EQ(outcome.why, Why::fits);
  EXPECT_LE(sent(all, outcome), 2);
  EXPECT_FALSE(run(uniform(32'768 / (link_pages / 4), 32'768)).switched);
}

// They may have been written last when the round that holds them back looked.
TEST(ModelPreCopy, LosesNoHeldBackPageWhenALaterRoundIsInVain) {
  std::uint64_t within_a_later_round = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Scenario with = uniform(2, 16'384, 16'384);
    with.settings.hot_last = true;
    with.link.bytes_per_second = 20e6;
    with.guest.writes.busy_seconds = 0.05 * static_cast<double>(seed);
    with.guest.writes.quiet_seconds = 2;
    with.guest.writes.per_second = 60'000;
    with.seed = seed;
    const Outcome outcome = run(with);
    EXPECT_EQ(outcome.different, 0U) << seed;
    if (outcome.switched && outcome.switched->find("within round 2") != std::string::npos &&
        outcome.held_back > 0) {
      ++within_a_later_round;
    }
  }
  EXPECT_GE(within_a_later_round, 1U);
}

}  // namespace
}  // namespace migration::model
