#include "migration/forecast/guest_sample.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <utility>

#include "tests/migration/forecast/synthetic_guest.hpp"

/// What is made of a second of a guest whose rates are known.
namespace migration::forecast {
namespace {

struct Case {
  const char* name;
  std::function<double(vmm::PageIndex)> rate;
};

const Case kCases[] = {
    {"Idle", [](vmm::PageIndex) { return 0.0; }},
    {"Uniform", [](vmm::PageIndex) { return 0.11; }},
    {"WorkingSet", [](vmm::PageIndex page) { return page < 24'000 ? 1.2 : 0.0; }},
    {"Skewed", [](vmm::PageIndex page) { return page < 13'000 ? 1.96 : 0.011; }},
    {"Scattered", [](vmm::PageIndex page) { return page % 16 == 0 ? 2.0 : 0.0; }},
    {"Busy", [](vmm::PageIndex page) { return page < 60'000 ? 12.0 : 0.0; }}};

class OfAGuest : public testing::TestWithParam<Case> {};

TEST_P(OfAGuest, TellsHowManyPagesAreWritten) {
  const model::Profile guest = guest_with(kRam, GetParam().rate);
  const GuestSample sample = look_at(guest);
  const model::Profile seen = profile_of(sample, vmm::kPageSize);
  // The further ahead, the more is guessed.
  for (const auto& [seconds, error] : {std::pair{0.1, 0.12}, {1.0, 0.1}, {4.0, 0.2}, {10.0, 0.4}}) {
    const double truth = pages_written(guest, seconds);
    const double told = pages_written(seen, seconds);
    fmt::print("{} in {} s: {:.0f}, in truth {:.0f}\n", GetParam().name, seconds, told, truth);
    EXPECT_NEAR(told, truth, error * truth + 100) << seconds;
  }
}

INSTANTIATE_TEST_SUITE_P(Guests, OfAGuest, testing::ValuesIn(kCases),
                         [](const auto& with) { return with.param.name; });

TEST(GuestSample, IsThinnedWhereTheGuestIsLarge) {
  const model::Profile guest = guest_with(kRam, [](vmm::PageIndex) { return 0.1; });
  GuestSample sample = look_at(guest);
  sample.touched = vmm::PageSet(4 * kRam);
  sample.touched.set(vmm::PageRange{0, 2 * kRam});
  const model::Profile thin = profile_of(sample, vmm::kPageSize);
  ASSERT_EQ(thin.pages.size(), kRam / 4);
  EXPECT_EQ(thin.scale, 16);
  EXPECT_TRUE(thin.pages[kRam / 8 - 1].touched);
  EXPECT_FALSE(thin.pages[kRam / 8].touched);
}

}  // namespace
}  // namespace migration::forecast
