#include "migration/pages/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace migration {
namespace {

using Clock = std::chrono::steady_clock;

TEST(RateLimiter, WithoutALimitNeverWaits) {
  RateLimiter limiter(0);
  for (int i = 0; i < 1000; ++i) limiter.acquire(std::uint64_t{1} << 40);
}

TEST(RateLimiter, PaysForWhatWasTakenBefore) {
  RateLimiter limiter(100'000'000);
  const auto start = Clock::now();
  for (int i = 0; i < 11; ++i) limiter.acquire(1'000'000);
  // Ten of the eleven had to be paid for, less the few milliseconds that an idle link may save up.
  // No upper bound: the machine may be busy.
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(95));
}

TEST(RateLimiter, ReleasesWhoWaitsWhenStopped) {
  RateLimiter limiter(1);
  limiter.acquire(1'000'000);
  std::thread waiting([&] { limiter.acquire(1); });
  limiter.stop();
  waiting.join();
}

TEST(RateLimiter, ReleasesWhoWaitsWhenTheLimitIsLifted) {
  RateLimiter limiter(1);
  limiter.acquire(1'000'000);
  std::thread waiting([&] { limiter.acquire(1); });
  limiter.set_rate(0);
  waiting.join();
  EXPECT_EQ(limiter.rate(), 0U);
}

TEST(RateLimiter, OwesNothingForWhatWentBeforeTheLimit) {
  RateLimiter limiter(0);
  limiter.acquire(std::uint64_t{1} << 40);
  limiter.set_rate(1'000);
  limiter.acquire(1);
}

TEST(RateLimiter, ChargesWithoutWaitingAndLetsTheNextPay) {
  RateLimiter limiter(100'000'000);
  const auto start = Clock::now();
  limiter.charge(10'000'000);  // 100 ms
  limiter.acquire(1);
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(90));
}

TEST(RateLimiter, TellsWhenAllIsDue) {
  RateLimiter limiter(1'000);
  EXPECT_EQ(limiter.due_in(), Clock::duration::zero());
  limiter.charge(3'000'000);
  EXPECT_GT(limiter.due_in(), std::chrono::seconds(2'900));
  EXPECT_LE(limiter.due_in(), std::chrono::seconds(3'000));
  limiter.set_rate(1'000'000);
  EXPECT_LE(limiter.due_in(), std::chrono::seconds(3));
  limiter.stop();
  EXPECT_EQ(limiter.due_in(), Clock::duration::zero());
}

TEST(RateLimiter, ChargesNothingWithoutALimit) {
  RateLimiter limiter(0);
  limiter.charge(std::uint64_t{1} << 40);
  limiter.set_rate(1);
  EXPECT_EQ(limiter.due_in(), Clock::duration::zero());
}

}  // namespace
}  // namespace migration
