#include "migration/forecast/probe_tally.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace migration::forecast {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;

/// A link that is probed for two seconds at the most.
struct ALink {
  double bytes_per_second = 0;
  double round_trip = 0;
  double deaf_until = 0;  ///< the side that sends hears no answer before
};

ProbeTally probed(const ALink& link, std::uint64_t bytes = kMostBytes) {
  constexpr double kEnd = 2;
  ProbeTally tally(bytes);
  std::deque<double> lands;
  double busy_until = 0;
  double now = 0;
  for (;;) {
    while (const auto size = tally.next(now)) {
      busy_until = std::max(busy_until, now) + static_cast<double>(*size) / link.bytes_per_second;
      lands.push_back(busy_until + link.round_trip);
    }
    if (lands.empty()) return tally;
    now = std::max({now, lands.front(), link.deaf_until});
    if (now > kEnd) return tally;
    lands.pop_front();
    tally.landed(now);
  }
}

TEST(ProbeTally, TellsTheRateOfAnyLink) {
  for (const double rate : {10e3, 100e3, 1e6, 10e6, 100e6, 1e9, 10e9}) {
    const ProbeTally tally = probed({.bytes_per_second = rate});
    ASSERT_TRUE(tally.tells()) << rate;
    EXPECT_NEAR(tally.bytes_per_second(), rate, 0.05 * rate);
  }
}

TEST(ProbeTally, KeepsALongLinkBusy) {
  const ProbeTally tally = probed({.bytes_per_second = 50e6, .round_trip = 0.04});
  ASSERT_TRUE(tally.tells());
  EXPECT_NEAR(tally.bytes_per_second(), 50e6, 10e6);
}

TEST(ProbeTally, TellsNothingWhereTooLittleHasLanded) {
  EXPECT_FALSE(ProbeTally(kMostBytes).tells());
  EXPECT_FALSE(probed({.bytes_per_second = 1000}).tells());
}

TEST(ProbeTally, GoesOnWhereAllAnswersWereHeardAtOnce) {
  const ProbeTally tally = probed({.bytes_per_second = 100e6, .deaf_until = 0.3});
  ASSERT_TRUE(tally.tells());
  EXPECT_LT(tally.bytes_per_second(), 300e6);
}

TEST(ProbeTally, SendsNoMoreThanItMay) {
  ProbeTally tally(kMostBytes);
  std::uint64_t sent = 0;
  while (const auto size = tally.next(0)) {
    sent += *size;
    tally.landed(0);
  }
  EXPECT_LE(sent, kMostBytes);
  EXPECT_GT(sent, kMostBytes / 2);
}

}  // namespace
}  // namespace migration::forecast
