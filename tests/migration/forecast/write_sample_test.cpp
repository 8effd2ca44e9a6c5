#include "migration/forecast/write_sample.hpp"

#include <gtest/gtest.h>

#include "tests/migration/forecast/synthetic_guest.hpp"

namespace migration::forecast {
namespace {


TEST(WriteSample, WatchesPlacesAllOverRam) {
  WriteSample sample(kRam);
  vmm::PageSet none(kRam);
  vmm::PageSet watched = sample.begin();
  EXPECT_LE(watched.count(), 128U);
  for (vmm::PageIndex quarter = 0; quarter < kRam; quarter += kRam / 4) {
    EXPECT_GE(watched.count({quarter, kRam / 4}), 16U);
  }
  for (unsigned step = 0; step < 40; ++step) watched |= sample.looked(none, 0.025);
  EXPECT_EQ(watched.count(), WriteSample::kMostPlaces * WriteSample::kPlacePages);
  EXPECT_EQ(sample.faults(), 0U);
}

TEST(WriteSample, CountsStepsWithAndWithoutAWrite) {
  WriteSample sample(1024);
  const vmm::PageSet watched = sample.begin();
  vmm::PageSet log(1024);
  const vmm::PageIndex page = watched.next_range(0, 1024)->first;
  log.set(page);
  EXPECT_TRUE(sample.looked(log, 0.025).test(page));
  log.clear();
  static_cast<void>(sample.looked(log, 0.025));
  static_cast<void>(sample.looked(log, 0.035));
  for (const WriteSample::Seen& seen : sample.seen()) {
    if (seen.page != page) continue;
    EXPECT_EQ(seen.written, 1);
    EXPECT_EQ(seen.not_written, 2);
  }
  EXPECT_NEAR(sample.step_seconds(), 0.085 / 3, 1e-9);
}

/// A fault takes 40 us.
TEST(WriteSample, CostsNoGuestMoreThanItsShare) {
  for (const double rate : {0.1, 1.0, 10.0, 1000.0}) {
    const model::Profile guest = guest_with(kRam, [rate](vmm::PageIndex) { return rate; });
    const GuestSample sample = look_at(guest);
    EXPECT_LE(static_cast<double>(sample.faults) * 40e-6, 0.05) << rate;
    EXPECT_GE(sample.faults, 100U) << rate;
  }
}

TEST(WriteSample, TakesTheSmallestRam) {
  WriteSample sample(4096);
  vmm::PageSet watched = sample.begin();
  for (unsigned step = 0; step < 40; ++step) {
    watched |= sample.looked(vmm::PageSet(4096), 0.025);
  }
  EXPECT_EQ(watched.count(), 2048U);
}

}  // namespace
}  // namespace migration::forecast
