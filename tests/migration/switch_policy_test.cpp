#include "migration/policy/switch_policy.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;

TEST(SwitchPolicy, JudgesNothingBeforeASampleWasSent) {
  SwitchPolicy policy;
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(policy.in_vain(200 * kMebibyte, i * 0.039 * kMebibyte));
}

TEST(SwitchPolicy, IsInVainAfterTwoSamplesInARowThatLeaveAsMuch) {
  SwitchPolicy policy;
  EXPECT_FALSE(policy.in_vain(200 * kMebibyte, 0));
  EXPECT_FALSE(policy.in_vain(199 * kMebibyte, 4 * kMebibyte));
  EXPECT_TRUE(policy.in_vain(198 * kMebibyte, 8 * kMebibyte));
  EXPECT_TRUE(policy.in_vain(198 * kMebibyte, 9 * kMebibyte));
}

TEST(SwitchPolicy, ForgivesABurst) {
  SwitchPolicy policy;
  double remaining = 200 * kMebibyte;
  for (int sample = 0; sample < 40; ++sample) {
    EXPECT_FALSE(policy.in_vain(remaining, sample * 4 * kMebibyte));
    remaining -= sample % 4 == 0 ? -3 * kMebibyte : 4 * kMebibyte;
  }
}

TEST(SwitchPolicy, TakesLongerSamplesOfALargeGuest) {
  SwitchPolicy policy;
  const double rest = 64 * 1024 * kMebibyte;
  for (int sent = 0; sent < 2048; sent += 4) EXPECT_FALSE(policy.in_vain(rest, sent * kMebibyte));
  EXPECT_TRUE(policy.in_vain(rest, 2048 * kMebibyte));
}

TEST(SwitchPolicy, LetsAGuestConvergeThatWritesLittle) {
  SwitchPolicy policy;
  double sent = 0;
  const auto round = [&](double mib, double dirtied) {
    for (int step = 0; step <= 100; ++step) {
      const double part = step / 100.0;
      EXPECT_FALSE(policy.in_vain((mib * (1 - part) + dirtied * part) * kMebibyte,
                                  sent + mib * part * kMebibyte));
    }
    sent += mib * kMebibyte;
  };
  round(717, 15);
  round(15, 0.5);
  round(0.5, 0.1);
}

}  // namespace
}  // namespace migration
