#include "migration/forecast/forecast.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <stop_token>

#include "tests/migration/forecast/synthetic_guest.hpp"

namespace migration::forecast {
namespace {

constexpr std::uint64_t kSmallRam = 1 << 16;  // pages
constexpr double kBytes = kSmallRam * 4096.0;
constexpr std::uint64_t kGbit = 125'000'000;

Forecast forecast_of(double rate, std::uint64_t cap = kGbit) {
  const model::Profile guest = guest_with(kSmallRam, [rate](vmm::PageIndex) { return rate; });
  return forecast(look_at(guest), {.bytes_per_second = static_cast<double>(cap), .cap = cap}, {}, 1,
                  {});
}

const ModeForecast& of(const Forecast& forecast, Mode mode) {
  return *std::ranges::find(forecast.modes, mode, &ModeForecast::mode);
}

TEST(Forecast, OfAnIdleGuestIsThatEachPageTravelsOnce) {
  const Forecast idle = forecast_of(0);
  ASSERT_EQ(idle.modes.size(), 4U);
  for (const ModeForecast& mode : idle.modes) {
    EXPECT_TRUE(mode.converges);
    EXPECT_NEAR(static_cast<double>(mode.wire_bytes), kBytes, 0.01 * kBytes);
    EXPECT_NEAR(mode.total_ms, 1000 * kBytes / kGbit, 50);
    EXPECT_LE(mode.least_downtime_ms, mode.downtime_ms);
    EXPECT_GE(mode.most_downtime_ms, mode.downtime_ms);
  }
  EXPECT_EQ(idle.choice, Mode::pre_copy);
  EXPECT_NEAR(idle.dirty_pages_per_second, 0, 1);
}

TEST(Forecast, OfAnIdleGuestIsThatItsRestFitsWhateverTheRounds) {
  MigrateOptions options;
  options.max_rounds = 1;
  const Forecast idle = forecast(look_at(guest_with(kSmallRam, [](vmm::PageIndex) { return 0.; })),
                                 {.bytes_per_second = kGbit, .cap = kGbit}, options, 1, {});
  EXPECT_TRUE(of(idle, Mode::pre_copy).converges);
  EXPECT_EQ(idle.choice, Mode::pre_copy);
}

TEST(Forecast, OfPostCopyWithoutPrepagingIsThatAllComes) {
  MigrateOptions options;
  options.prepaging = Prepaging::none;
  const Forecast busy = forecast(look_at(guest_with(kSmallRam, [](vmm::PageIndex) { return 10.; })),
                                 {.bytes_per_second = kGbit, .cap = kGbit}, options, 1, {});
  EXPECT_NEAR(static_cast<double>(of(busy, Mode::post_copy).wire_bytes), kBytes, 0.01 * kBytes);
}

TEST(Forecast, SaysThatPreCopyOfAGuestThatWritesFasterThanTheLinkDoesNotConverge) {
  const Forecast busy = forecast_of(10);
  EXPECT_FALSE(of(busy, Mode::pre_copy).converges);
  EXPECT_FALSE(of(busy, Mode::automatic).converges);
  EXPECT_GT(of(busy, Mode::pre_copy).downtime_ms, 500);
  EXPECT_LE(of(busy, Mode::post_copy).most_downtime_ms, 20);
  EXPECT_NEAR(static_cast<double>(of(busy, Mode::post_copy).wire_bytes), kBytes, 0.01 * kBytes);
  EXPECT_NE(busy.choice, Mode::pre_copy);
}

TEST(Forecast, CountsTheEnergyOfTheBytes) {
  const Forecast idle = forecast_of(0);
  const ModeForecast& mode = idle.modes.front();
  EXPECT_NEAR(mode.joules, 0.512e-6 * static_cast<double>(mode.wire_bytes) + 20.165, 1e-6);
}

TEST(Forecast, IsRefusedForALinkThatWouldTakeHours) {
  EXPECT_THROW(static_cast<void>(forecast_of(0, 1000)), std::invalid_argument);
}

TEST(Forecast, KnowsThatWhatIsSentAgainMayGoAsItsDifference) {
  const model::Profile guest =
      guest_with(kSmallRam, [](vmm::PageIndex page) { return page < kSmallRam / 10 ? 4.0 : 0; });
  GuestSample sample = look_at(guest);
  sample.delta_bytes = 100;
  sample.delta_seconds = 5e-6;
  const LinkEstimate slow{.bytes_per_second = kGbit / 10., .cap = kGbit / 10};
  EXPECT_TRUE(of(forecast(sample, slow, {}, 1, {}), Mode::pre_copy).converges);
  MigrateOptions without;
  without.delta_cache = 0;
  EXPECT_FALSE(of(forecast(sample, slow, without, 1, {}), Mode::pre_copy).converges);
  without = {};
  without.compression = Compression::none;
  EXPECT_FALSE(of(forecast(sample, slow, without, 1, {}), Mode::pre_copy).converges);
  sample.delta_bytes = 4000;
  EXPECT_FALSE(of(forecast(sample, slow, {}, 1, {}), Mode::pre_copy).converges);
}

TEST(Forecast, PlaysABoundedNumberOfRounds) {
  const model::Profile guest = guest_with(kSmallRam / 16, [](vmm::PageIndex) { return 10.0; });
  MigrateOptions options;
  options.max_rounds = 1'000'000;
  const std::uint64_t link = kGbit / 16;
  const Forecast busy =
      forecast(look_at(guest), {.bytes_per_second = link, .cap = link}, options, 1, {});
  for (const ModeForecast& mode : busy.modes) EXPECT_LE(mode.rounds, kMostRounds + 1);
  EXPECT_FALSE(of(busy, Mode::pre_copy).converges);
}

TEST(Forecast, EndsEarlyWhenItIsToldTo) {
  const model::Profile guest = guest_with(kSmallRam, [](vmm::PageIndex) { return 10.0; });
  const GuestSample sample = look_at(guest);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(static_cast<void>(forecast(sample, {.bytes_per_second = kGbit, .cap = kGbit}, {}, 1,
                                          {}, stop.get_token())),
               model::Stopped);
}

TEST(Forecast, SendsBackOnlyWhatDiffersFromTheImageThatIsKept) {
  const model::Profile guest = guest_with(kSmallRam, [](vmm::PageIndex) { return 0.0; });
  GuestSample sample = look_at(guest);
  sample.changed = vmm::PageSet(kSmallRam);
  sample.changed->set(vmm::PageRange{0, 1000});
  const Forecast back = forecast(sample, {.bytes_per_second = kGbit, .cap = kGbit}, {}, 1, {});
  ASSERT_EQ(back.modes.size(), 5U);
  EXPECT_TRUE(back.modes.back().returns);
  EXPECT_NEAR(static_cast<double>(back.modes.back().wire_bytes), 4096e3, 50'000);
}

}  // namespace
}  // namespace migration::forecast
