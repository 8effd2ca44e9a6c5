#include "migration/handover/stop_bound.hpp"

#include <gtest/gtest.h>

namespace migration::handover {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMegabyte = 1'000'000;
const StopDeadline::TimePoint kStopped{1h};

StopNeeds needs(std::uint64_t bytes, double cap, double measured) {
  return {.bytes_left = bytes, .cap = cap, .measured = measured, .timeout = 10s};
}

TEST(StopBound, IsThreeTimesWhatTheBytesNeedAndTheTimeout) {
  EXPECT_EQ(stop_bound(needs(100 * kMegabyte, 0, 10e6)), 30s + 10s);
  EXPECT_EQ(stop_bound(needs(0, 0, 10e6)), 10s);
}

TEST(StopBound, TakesTheCapOrTheMeasuredRateWhicheverIsLess) {
  EXPECT_EQ(stop_bound(needs(100 * kMegabyte, 1e6, 10e6)), 300s + 10s);
  EXPECT_EQ(stop_bound(needs(100 * kMegabyte, 100e6, 10e6)), 30s + 10s);
  EXPECT_EQ(stop_bound(needs(100 * kMegabyte, 10e6, 0)), 30s + 10s);
}

TEST(StopBound, HasRoomForVerifyingOnBothSides) {
  StopNeeds verified = needs(0, 0, 10e6);
  verified.verify_bytes = 4000 * kMegabyte;
  verified.verify_rate = 2e9;
  EXPECT_EQ(stop_bound(verified), 4s + 10s);
}

TEST(StopBound, IsNotKnownWithoutARate) {
  EXPECT_EQ(stop_bound(needs(kMegabyte, 0, 0)), std::nullopt);
}

TEST(StopBound, OverflowsByNoNumbers) {
  const auto bound = stop_bound(needs(~std::uint64_t{0}, 0, 1e-300));
  ASSERT_TRUE(bound);
  EXPECT_GT(*bound, 24h);
  EXPECT_GT(StopDeadline(needs(~std::uint64_t{0}, 0, 1e-300), kStopped).deadline(), kStopped);
}

TEST(StopDeadline, IsATimeoutAfterTheLastProgress) {
  StopDeadline stop(needs(100 * kMegabyte, 0, 10e6), kStopped);
  EXPECT_EQ(stop.deadline(), kStopped + 10s);
  stop.progress(kMegabyte, kStopped + 8s);
  EXPECT_EQ(stop.deadline(), kStopped + 18s);
  stop.progress(kMegabyte, kStopped + 12s);  // nothing has moved
  EXPECT_EQ(stop.deadline(), kStopped + 18s);
}

TEST(StopDeadline, IsNotExtendedBeyondTheBound) {
  StopDeadline stop(needs(100 * kMegabyte, 0, 10e6), kStopped);
  for (int second = 1; second < 100; ++second) {
    stop.progress(static_cast<std::uint64_t>(second), kStopped + std::chrono::seconds(second));
  }
  EXPECT_EQ(stop.deadline(), kStopped + 40s);
}

TEST(StopDeadline, LetsAStopAndCopyOverASlowLinkGoOn) {
  // 1 GB over 1 MB/s: 1000 s, of which nothing was known when the guest stopped.
  StopDeadline stop(needs(1000 * kMegabyte, 0, 0), kStopped);
  for (int second = 1; second <= 1000; ++second) {
    const auto now = kStopped + std::chrono::seconds(second);
    ASSERT_LT(now, stop.deadline()) << second;
    stop.progress(static_cast<std::uint64_t>(second) * kMegabyte, now);
  }
}

TEST(StopDeadline, MeasuresAnUnknownLinkOnceAndNotAgainAsItGetsSlower) {
  StopDeadline stop(needs(100 * kMegabyte, 0, 0), kStopped);
  stop.progress(10 * kMegabyte, kStopped + 10s);  // 1 MB/s: 100 s
  for (int second = 11; second < 1000; ++second) {
    stop.progress(10 * kMegabyte + static_cast<std::uint64_t>(second),
                  kStopped + std::chrono::seconds(second));
  }
  EXPECT_EQ(stop.deadline(), kStopped + 310s);
}

}  // namespace
}  // namespace migration::handover
