#include "migration/model/run.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stop_token>

namespace migration::model {
namespace {

constexpr std::uint64_t kPagesOfRam = 16'384;
constexpr double kRamBytes = kPagesOfRam * 4096.0;

/// A sampled guest whose first pages are written `per_second` times a second each.
Scenario sampled(Mode mode, double per_second, std::uint64_t written = kPagesOfRam / 2) {
  auto profile = std::make_shared<Profile>();
  for (vmm::PageIndex page = 0; page < kPagesOfRam; ++page) {
    profile->pages.push_back(
        {.touched = true,
         .writes_per_second = page < written ? static_cast<float>(per_second) : 0});
  }
  Scenario with;
  with.profile = std::move(profile);
  with.link.bytes_per_second = 50e6;
  with.settings.mode = mode;
  return with;
}

TEST(ModelRun, PostCopySendsEachPageOnceWhateverTheGuestWrites) {
  for (const double per_second : {0.0, 1.0, 1000.0}) {
    const Outcome outcome = run(sampled(Mode::post_copy, per_second));
    EXPECT_TRUE(outcome.converges);
    EXPECT_EQ(outcome.demand + outcome.pushed, kPagesOfRam);
    EXPECT_NEAR(static_cast<double>(outcome.wire_bytes), kRamBytes, 0.01 * kRamBytes);
    EXPECT_GE(static_cast<double>(outcome.wire_bytes), kRamBytes);
    EXPECT_GE(outcome.total_seconds, kRamBytes / 50e6);
    EXPECT_LE(outcome.downtime_seconds, 0.01);
    EXPECT_EQ(outcome.demand > 0, per_second > 0);
    EXPECT_EQ(outcome.waited_seconds > 0, per_second > 0);
  }
}

TEST(ModelRun, SendsLittleAgainWhereThatGoesAsItsDifference) {
  Scenario with = sampled(Mode::pre_copy, 2);
  with.settings.max_rounds = 6;
  const Outcome full = run(with);
  with.deltas = {.bases = kPagesOfRam, .page_bytes = 100};
  const Outcome small = run(with);
  ASSERT_GE(full.rounds.size(), 4U);
  ASSERT_GE(small.rounds.size(), 3U);
  // What is not sent in the second round has no base in the third.
  EXPECT_EQ(small.rounds[1].wire_bytes, full.rounds[1].wire_bytes);
  EXPECT_LT(small.rounds[2].wire_bytes, full.rounds[2].wire_bytes / 4);
  EXPECT_EQ(small.different, 0U);
}

TEST(ModelRun, EndsInTheMiddleWhenItIsToldTo) {
  for (const Mode mode : {Mode::pre_copy, Mode::post_copy, Mode::stop_and_copy}) {
    std::stop_source stop;
    stop.request_stop();
    EXPECT_THROW(static_cast<void>(run(sampled(mode, 1), stop.get_token())), Stopped);
  }
}

TEST(ModelRun, HybridSendsAgainOnlyWhatWasWrittenInItsRound) {
  const Outcome idle = run(sampled(Mode::hybrid, 0));
  EXPECT_NEAR(static_cast<double>(idle.wire_bytes), kRamBytes, 0.01 * kRamBytes);
  const Outcome busy = run(sampled(Mode::hybrid, 100));
  EXPECT_TRUE(busy.switched.has_value());
  EXPECT_EQ(busy.rounds.size(), 1U);
  EXPECT_EQ(busy.demand + busy.pushed, busy.missing);
  EXPECT_LE(static_cast<double>(busy.wire_bytes), 2.02 * kRamBytes);
  EXPECT_EQ(busy.different, 0U);
}

TEST(ModelRun, AutoEndsWhereTheRestOfPreCopyDoesNotFit) {
  const Outcome pre_copy = run(sampled(Mode::pre_copy, 100));
  EXPECT_FALSE(pre_copy.converges);
  const Outcome automatic = run(sampled(Mode::automatic, 100));
  EXPECT_FALSE(automatic.converges);
  EXPECT_TRUE(automatic.switched.has_value());
  EXPECT_LT(automatic.downtime_seconds, pre_copy.downtime_seconds);
  EXPECT_LT(automatic.total_seconds, pre_copy.total_seconds);
}

TEST(ModelRun, StopAndCopyStandsStillForAllOfIt) {
  const Outcome outcome = run(sampled(Mode::stop_and_copy, 100));
  EXPECT_NEAR(static_cast<double>(outcome.wire_bytes), kRamBytes, 0.01 * kRamBytes);
  EXPECT_NEAR(outcome.downtime_seconds, kRamBytes / 50e6, 0.05);
}

TEST(ModelRun, ReturnsWithWhatDiffersFromTheImage) {
  for (const Mode mode : {Mode::pre_copy, Mode::post_copy, Mode::hybrid, Mode::automatic}) {
    Scenario with = sampled(mode, 0);
    with.changed = vmm::PageSet(kPagesOfRam);
    with.changed->set(vmm::PageRange{100, 500});
    const Outcome outcome = run(with);
    EXPECT_EQ(outcome.different, 0U);
    EXPECT_NEAR(static_cast<double>(outcome.wire_bytes), 500 * 4096.0, 50'000);
  }
}

TEST(ModelRun, KnowsASampledGuestByTheSameRulesAsOneThatWrites) {
  for (const double per_second : {0.05, 0.5, 5.0}) {
    for (const Mode mode : {Mode::pre_copy, Mode::hybrid, Mode::automatic}) {
      Scenario rated = sampled(mode, per_second);
      Scenario writing = rated;
      writing.profile = nullptr;
      writing.guest.pages = kPagesOfRam;
      writing.guest.writes.region = {0, kPagesOfRam / 2};
      writing.guest.writes.per_second = per_second * kPagesOfRam / 2;
      const Outcome a = run(rated);
      const Outcome b = run(writing);
      EXPECT_EQ(a.converges, b.converges) << per_second;
      EXPECT_NEAR(a.total_seconds, b.total_seconds, 0.1 * b.total_seconds) << per_second;
      EXPECT_EQ(a.different, 0U);
      EXPECT_EQ(a.needless, 0U);
    }
  }
}

}  // namespace
}  // namespace migration::model
