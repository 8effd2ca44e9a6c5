#include "migration/policy/pre_copy_driver.hpp"

#include <gtest/gtest.h>

#include "vmm/memory/guest_address.hpp"

namespace migration {
namespace {

using namespace std::chrono_literals;
using Driver = PreCopyDriver;
using Kind = PreCopyDriver::Kind;

constexpr std::uint64_t kRamPages = 65'536;  // pages

/// Feeds a driver with rounds that are at the destination at once when they have begun.
class PreCopyDriverTest : public testing::Test {
 protected:
  Driver make(Driver::Settings settings) { return Driver(settings); }

  /// A round of data pages alone, at 100 MB/s.
  RoundReport round(Driver& driver, std::uint64_t pages, Kind kind = Kind::given) {
    driver.begin(kind, now_, sent_);
    sent_.pages += pages;
    sent_.data_pages += pages;
    sent_.wire_bytes += pages * vmm::kPageSize;
    now_ += std::chrono::nanoseconds(pages * vmm::kPageSize * 10);
    return driver.landed(now_, sent_);
  }
  Driver::Next decide(Driver& driver, std::uint64_t dirty, std::uint64_t held = 0,
                      std::uint64_t cap = 0) {
    return driver.decide(
        {.dirty_pages = dirty, .held_back = held, .data_pages = sent_.data_pages, .cap = cap});
  }
  /// Reads a log with so many pages, at once. Whether the round is to be ended.
  bool look(Driver& driver, std::uint64_t dirty, const Driver::SoFar& so_far) {
    vmm::PageSet log(kRamPages);
    log.set(vmm::PageRange{0, dirty});
    return driver.looked(now_, now_, log, so_far, sent_);
  }
  void send(std::uint64_t pages) {
    sent_.pages += pages;
    sent_.data_pages += pages;
  }

  Driver::Time now_ = 5s;
  Driver::Sent sent_;
};

TEST_F(PreCopyDriverTest, ReportsARound) {
  Driver driver = make({});
  EXPECT_EQ(driver.round(), 0U);
  EXPECT_EQ(driver.next_round(), 1U);
  round(driver, 100);
  const RoundReport report = round(driver, 10'000);
  EXPECT_EQ(driver.round(), 2U);
  EXPECT_EQ(driver.sent_before().pages, 100U);
  EXPECT_EQ(report.pages, 10'000U);
  EXPECT_EQ(report.wire_bytes, 40'960'000U);
  EXPECT_NEAR(report.duration_ms, 409.6, 0.001);
  EXPECT_EQ(report.throttle, 0U);
}

TEST_F(PreCopyDriverTest, StopsWhenTheRestFitsTheDowntime) {
  Driver driver = make({.max_downtime = 50ms});
  round(driver, 10'000);
  EXPECT_EQ(decide(driver, 1200).decision.step, Step::next_round);  // 49 ms and the fixed part
  const Driver::Next next = decide(driver, 1000);
  EXPECT_EQ(next.decision.step, Step::stop);
  EXPECT_EQ(next.decision.why, Why::fits);
  EXPECT_FALSE(next.switched);
}

TEST_F(PreCopyDriverTest, TakesADowntimeThatChangesMeanwhile) {
  Driver driver = make({.max_downtime = 1ms});
  round(driver, 10'000);
  EXPECT_EQ(decide(driver, 5000).decision.step, Step::next_round);
  driver.set_max_downtime(1s);
  EXPECT_EQ(decide(driver, 5000).decision.step, Step::stop);
}

TEST_F(PreCopyDriverTest, HoldsTheRateToTheCap) {
  Driver driver = make({.max_downtime = 50ms});
  round(driver, 10'000);
  EXPECT_EQ(decide(driver, 1000, 0, 50'000'000).decision.step, Step::next_round);
  EXPECT_EQ(decide(driver, 1000, 0, 200'000'000).decision.step, Step::stop);
}

TEST_F(PreCopyDriverTest, LearnsNoRateFromAFewPages) {
  Driver driver = make({.max_downtime = 50ms});
  round(driver, 10'000);
  now_ += 1s;
  driver.begin(Kind::given, now_, sent_);
  sent_.pages += 10;
  sent_.wire_bytes += 10 * vmm::kPageSize;
  now_ += 1s;
  driver.landed(now_, sent_);
  EXPECT_EQ(decide(driver, 1000).decision.step, Step::stop);
}

// Nine in ten of all pages are zero, and cost nothing; what the guest writes is not.
TEST_F(PreCopyDriverTest, TakesNoZeroPageOfTheFirstRoundForOneThatIsWritten) {
  Driver driver = make({.max_downtime = 50ms});
  driver.begin(Kind::discovers, now_, sent_);
  sent_ = {.pages = 100'000, .data_pages = 10'000, .wire_bytes = 10'000 * vmm::kPageSize};
  now_ += std::chrono::nanoseconds(sent_.wire_bytes * 10);
  driver.landed(now_, sent_);
  const Driver::Next next = decide(driver, 2000);
  EXPECT_NEAR(next.decision.downtime_seconds, 0.003 + 2000 * 40.96e-6, 1e-6);
  EXPECT_EQ(next.decision.step, Step::next_round);
}

TEST_F(PreCopyDriverTest, EndsAfterAsManyRoundsAsSuitTheMode) {
  for (const auto& [mode, rounds] : {std::pair{Mode::pre_copy, 30U}, {Mode::hybrid, 1U}}) {
    Driver driver = make({.mode = mode, .max_downtime = 1ms});
    for (unsigned i = 1; i < rounds; ++i) {
      round(driver, 10'000);
      EXPECT_EQ(decide(driver, 2000).decision.step, Step::next_round);
    }
    round(driver, 10'000);
    EXPECT_EQ(decide(driver, 2000).decision.step,
              mode == Mode::hybrid ? Step::post_copy : Step::stop);
  }
}

TEST_F(PreCopyDriverTest, SlowsAGuestStepByStep) {
  Driver driver = make({.throttle = true});
  EXPECT_EQ(round(driver, 10'000).throttle, 0U);
  EXPECT_EQ(decide(driver, 9000).decision.step, Step::throttle);
  EXPECT_EQ(round(driver, 9000).throttle, 20U);
  EXPECT_EQ(decide(driver, 9000).decision.throttle, 35U);
  EXPECT_EQ(round(driver, 9000).throttle, 35U);
  EXPECT_EQ(decide(driver, 3000).decision.step, Step::next_round);
  EXPECT_EQ(round(driver, 3000).throttle, 35U);
}

TEST_F(PreCopyDriverTest, SwitchesAfterTheRoundsOfHybridAndSaysSo) {
  Driver driver = make({.mode = Mode::hybrid, .max_downtime = 1ms, .max_rounds = 2});
  round(driver, 10'000);
  EXPECT_FALSE(decide(driver, 5000).switched);
  round(driver, 5000);
  EXPECT_EQ(decide(driver, 5000).switched, "after 2 rounds of pre-copy, as asked for");
}

TEST_F(PreCopyDriverTest, SwitchesWhenTheRestNeverFits) {
  Driver driver = make({.mode = Mode::automatic, .max_downtime = 1ms, .max_rounds = 1});
  driver.allow_post_copy();
  round(driver, 10'000);
  const Driver::Next next = decide(driver, 5000);
  EXPECT_EQ(next.decision.step, Step::post_copy);
  EXPECT_EQ(next.switched, "the rest does not fit the downtime after 1 rounds");
}

TEST_F(PreCopyDriverTest, StaysPreCopyWhereTheDestinationCannotFetchPages) {
  Driver driver = make({.mode = Mode::automatic, .max_downtime = 1ms, .max_rounds = 1});
  EXPECT_FALSE(driver.wants_look(now_));
  round(driver, 10'000);
  EXPECT_EQ(decide(driver, 5000).decision.step, Step::stop);
}

TEST_F(PreCopyDriverTest, SwitchesAfterARoundInVain) {
  Driver driver = make({.mode = Mode::automatic, .max_downtime = 1ms});
  driver.allow_post_copy();
  for (int i = 1; i < 3; ++i) {
    round(driver, 10'000);
    EXPECT_FALSE(decide(driver, 9000).switched);
  }
  round(driver, 9000);
  EXPECT_EQ(decide(driver, 9000).switched,
            "the guest writes pages as fast as they are sent (after round 3)");
}

TEST_F(PreCopyDriverTest, EndsARoundThatIsInVain) {
  Driver driver = make({.mode = Mode::automatic, .max_downtime = 10s});
  driver.allow_post_copy();
  round(driver, 10'000, Kind::discovers);
  driver.begin(Kind::given, now_, sent_);
  ASSERT_TRUE(driver.wants_look(now_));
  EXPECT_FALSE(look(driver, 9000, {}));
  send(2000);
  EXPECT_FALSE(look(driver, 9000, {}));
  send(2000);
  EXPECT_TRUE(look(driver, 9000, {}));
  EXPECT_FALSE(driver.wants_look(now_));  // it is known
  driver.landed(now_, sent_);
  // Although the rest would fit.
  EXPECT_EQ(decide(driver, 9000).switched,
            "the guest writes pages as fast as they are sent (within round 2)");
}

// What was not yet taken up is in the log, and much of it was never touched.
TEST_F(PreCopyDriverTest, KnowsWhatIsLeftOfARoundThatDiscoversItsPages) {
  Driver driver = make({.mode = Mode::automatic});
  driver.allow_post_copy();
  driver.begin(Kind::discovers, now_, sent_);
  for (std::uint64_t count = 0; count < 20'000; count += 2000) {
    EXPECT_FALSE(look(driver, kRamPages, {.taken_up = 0, .count = count, .used = 30'000})) << count;
    send(2000);
  }
}

// A cache of what was sent, say, grows as fast as pages are sent.
TEST_F(PreCopyDriverTest, IsNotMisledByAProcessThatGrowsBesideItsRam) {
  Driver driver = make({.mode = Mode::automatic});
  driver.allow_post_copy();
  driver.begin(Kind::discovers, now_, sent_);
  for (std::uint64_t count = 0; count < kRamPages; count += 2000) {
    EXPECT_FALSE(look(driver, 0, {.taken_up = count, .count = count, .used = kRamPages + count}))
        << count;
    send(2000);
  }
}

TEST_F(PreCopyDriverTest, LooksForWorkInVainInNoRoundThatTellsNothingOfIt) {
  Driver driver = make({.mode = Mode::automatic});
  driver.allow_post_copy();
  driver.begin(Kind::given, now_, sent_);  // what an image lacks
  EXPECT_FALSE(driver.wants_look(now_));
  driver.begin(Kind::given, now_, sent_);
  EXPECT_TRUE(driver.wants_look(now_));
}

// The log stays as it is, and whatever the round leaves would be lost.
TEST_F(PreCopyDriverTest, NeverEndsTheRoundAtTheStop) {
  Driver driver = make({.mode = Mode::automatic, .max_downtime = 10s});
  driver.allow_post_copy();
  round(driver, 10'000, Kind::discovers);
  ASSERT_EQ(decide(driver, 9000).decision.step, Step::stop);
  driver.begin(Kind::last, now_, sent_);
  EXPECT_FALSE(driver.wants_look(now_));
  EXPECT_FALSE(driver.wants_look(now_ + 1h));
}

TEST_F(PreCopyDriverTest, SpendsLittleTimeOnLooking) {
  Driver driver = make({.mode = Mode::automatic});
  driver.allow_post_copy();
  driver.begin(Kind::discovers, 0s, sent_);
  const vmm::PageSet log(kRamPages);
  ASSERT_FALSE(driver.looked(100ms, 110ms, log, {}, sent_));
  EXPECT_FALSE(driver.wants_look(300ms));
  EXPECT_TRUE(driver.wants_look(310ms));

  ASSERT_TRUE(driver.wants_sample(1s, {.count = 1, .used = kRamPages}));
  driver.sampled(1s, 1010ms);
  EXPECT_FALSE(driver.wants_sample(1199ms, {.count = 1, .used = kRamPages}));
  EXPECT_TRUE(driver.wants_sample(1200ms, {.count = 1, .used = kRamPages}));
}

TEST_F(PreCopyDriverTest, SamplesALongRoundThatDiscoversItsPages) {
  Driver driver = make({});
  driver.begin(Kind::discovers, 0s, sent_);
  EXPECT_FALSE(driver.wants_sample(1s, {.count = 0, .used = 1000}));
  EXPECT_FALSE(driver.wants_sample(1s, {.count = 700, .used = 1000}));  // 0.43 s to go
  EXPECT_TRUE(driver.wants_sample(1s, {.count = 600, .used = 1000}));
  driver.sampled(1s, 1s);
  EXPECT_TRUE(driver.wants_sample(1100ms, {.count = 990, .used = 1000}));  // once begun
  driver.begin(Kind::given, 2s, sent_);
  EXPECT_FALSE(driver.wants_sample(3s, {.count = 1, .used = 1000}));
  Driver other = make({.hot_last = false});
  other.begin(Kind::discovers, 0s, sent_);
  EXPECT_FALSE(other.wants_sample(1s, {.count = 1, .used = 1000}));
}

TEST_F(PreCopyDriverTest, SwitchesWhereHotPagesAreWrittenSoonerThanTheyAreSent) {
  for (const auto& [every, switches] : {std::pair{10ms, true}, {1000ms, false}}) {
    Driver driver = make({.mode = Mode::automatic, .max_downtime = 1ms});
    driver.allow_post_copy();
    driver.begin(Kind::discovers, now_, sent_);
    driver.sampled(now_, now_);
    driver.sampled(now_ + every, now_ + every);
    send(20'000);
    sent_.wire_bytes += 20'000 * vmm::kPageSize;
    now_ += 819'200us;
    driver.landed(now_, sent_);
    // 4000 of them take 0.16 s.
    const auto switched = decide(driver, 4000, 4000).switched;
    EXPECT_EQ(switched.has_value(), switches);
    if (switches) {
      EXPECT_EQ(switched,
                "the guest writes 4000 pages again sooner than they are sent (after round 1)");
    }
  }
}

/// 900 pages take 37 ms, and fit.
TEST_F(PreCopyDriverTest, WatchesAGuestBeforeItStopsItIfTheDensityIsToTell) {
  Driver driver = make({.mode = Mode::pre_copy, .stop_policy = StopPolicy::density});
  round(driver, kRamPages);
  EXPECT_EQ(decide(driver, 900).decision.step, Step::watch);
  const auto watched = [&](std::uint64_t written) {
    const auto from = now_;
    now_ += driver.watch_window();
    return driver.watched({.from = from, .to = now_, .written = written, .dirty_pages = 900});
  };
  EXPECT_EQ(watched(900), Step::watch);
  EXPECT_EQ(watched(900), Step::watch);
  EXPECT_EQ(watched(0), Step::next_round);
  round(driver, 900);
  EXPECT_EQ(decide(driver, 3).decision.step, Step::stop);
  ASSERT_TRUE(driver.stop_wait());
  EXPECT_NEAR(driver.stop_wait()->ms, 30 + 36.9, 0.1);
  EXPECT_NEAR(driver.stop_wait()->first_downtime_ms, 3 + 36.9, 0.1);
  EXPECT_NEAR(driver.stop_wait()->downtime_ms, 3 + 0.1, 0.1);
}

// What is sent after that, and read of the log, tells nothing of whether work is in vain.
TEST_F(PreCopyDriverTest, DoesNotLookForWorkInVainOnceAStopHasFitted) {
  Driver driver = make({.mode = Mode::automatic, .stop_policy = StopPolicy::density});
  driver.allow_post_copy();
  round(driver, kRamPages, Kind::discovers);
  ASSERT_TRUE(driver.wants_look(now_ + 1s));
  ASSERT_EQ(decide(driver, 900).decision.step, Step::watch);
  driver.begin(Kind::given, now_, sent_);
  EXPECT_FALSE(driver.wants_look(now_ + 1h));
}

TEST_F(PreCopyDriverTest, StopsAtTheFirstFitUnlessTheDensityIsToTell) {
  Driver driver = make({.mode = Mode::pre_copy});
  round(driver, kRamPages);
  EXPECT_EQ(decide(driver, 900).decision.step, Step::stop);
  EXPECT_FALSE(driver.stop_wait());
}

/// What was written while it watched would have no round to go with, but the last that there is.
TEST_F(PreCopyDriverTest, DoesNotWatchWhereNoRoundIsLeft) {
  Driver driver =
      make({.mode = Mode::pre_copy, .max_rounds = 3, .stop_policy = StopPolicy::density});
  round(driver, kRamPages);
  EXPECT_EQ(decide(driver, 20'000).decision.step, Step::next_round);
  round(driver, 20'000);
  EXPECT_EQ(decide(driver, 900).decision.step, Step::stop);
}

TEST_F(PreCopyDriverTest, WatchesLongerWhereALookTakesLong) {
  Driver driver = make({.mode = Mode::pre_copy, .stop_policy = StopPolicy::density});
  round(driver, kRamPages);
  EXPECT_EQ(driver.watch_window(), 10ms);
  ASSERT_EQ(decide(driver, 900).decision.step, Step::watch);
  ASSERT_EQ(driver.watched(
                {.from = now_, .to = now_ + 10ms, .cost = 3ms, .written = 900, .dirty_pages = 900}),
            Step::watch);
  EXPECT_EQ(driver.watch_window(), 60ms);
}

}  // namespace
}  // namespace migration
