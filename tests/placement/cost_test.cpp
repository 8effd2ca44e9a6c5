#include "placement/cost.hpp"

#include <gtest/gtest.h>

#include "fleets.hpp"

namespace placement {
namespace {

using migration::Mode;

constexpr double kGigabit = 125e6;
constexpr double kState = 16384;

Vm writing(double bytes_per_second) {
  Vm guest = vm("a", 0, {});
  guest.used = 125'000'000;
  guest.dirty_pages_per_s = bytes_per_second / 4096;
  return guest;
}

TEST(CostOfMove, OfAnIdleGuestIsWhatItUses) {
  for (const Mode mode : {Mode::pre_copy, Mode::post_copy, Mode::stop_and_copy, Mode::hybrid}) {
    const MoveCost cost = cost_of(writing(0), 1, mode, kGigabit);
    EXPECT_DOUBLE_EQ(cost.bytes, 125e6 + kState);
    EXPECT_NEAR(cost.seconds, 1.05, 0.01);
  }
}

TEST(CostOfMove, InPreCopyIsAGeometricSum) {
  // lambda = 1/2: rounds of 125, 62.5, 31.25, 15.6 and 7.8 MB, until 3.9 MB are left for the stop.
  const MoveCost cost = cost_of(writing(kGigabit / 2), 1, Mode::pre_copy, kGigabit);
  const double left = 125e6 / 32;
  EXPECT_DOUBLE_EQ(cost.bytes, 2 * 125e6 - left + kState);
  EXPECT_NEAR(cost.downtime_seconds, left / kGigabit, 3e-3);
}

TEST(CostOfMove, InPostCopyIsPaidOnceAndStopsForTheStateAlone) {
  const MoveCost cost = cost_of(writing(10 * kGigabit), 1, Mode::post_copy, kGigabit);
  EXPECT_DOUBLE_EQ(cost.bytes, 125e6 + kState);
  EXPECT_LT(cost.downtime_seconds, 5e-3);
}

TEST(CostOfMove, StopsForAllInStopAndCopy) {
  EXPECT_NEAR(cost_of(writing(0), 1, Mode::stop_and_copy, kGigabit).downtime_seconds, 1, 0.01);
}

TEST(CostOfMove, IsLessWhereAnImageIsKept) {
  Vm guest = writing(0);
  guest.kept_at = {2};
  EXPECT_LT(cost_of(guest, 2, Mode::pre_copy, kGigabit).bytes,
            cost_of(guest, 1, Mode::pre_copy, kGigabit).bytes / 2);
}

TEST(CostOfMove, IsEnergyByBytesAndEach) {
  const MoveCost cost =
      cost_of(writing(0), 1, Mode::post_copy, kGigabit, {.joules_per_byte = 1e-6, .joules = 7});
  EXPECT_DOUBLE_EQ(cost.joules, 7 + 1e-6 * cost.bytes);
}

TEST(ModeOfMove, IsPostCopyWherePreCopyDoesNotConverge) {
  EXPECT_EQ(mode_for(writing(0.5 * kGigabit), kGigabit), Mode::pre_copy);
  EXPECT_EQ(mode_for(writing(0.95 * kGigabit), kGigabit), Mode::post_copy);
  EXPECT_EQ(mode_for(writing(0.5 * kGigabit), kGigabit / 2), Mode::post_copy);
}

}  // namespace
}  // namespace placement
