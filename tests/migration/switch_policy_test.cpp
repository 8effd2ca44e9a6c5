#include "migration/policy/switch_policy.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace migration {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;
constexpr double kPage = 4096;

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

// A guest of so many pages, all touched, whose last ones it writes: uniformly, and so that a page
// stays clean for tau seconds on average. The link carries 37.5 MB/s.
struct Guest {
  std::uint64_t ram = 65'536;      ///< pages
  std::uint64_t written = 65'536;  ///< pages
  double tau = 1;
};

struct PreCopyOutcome {
  bool in_vain = false;
  double sent = 0;  ///< times RAM, before pre-copy ended
  double rest = 0;  ///< times RAM, when it ended
};

/// Pre-copy in rounds, until the policy ends it or the rest fits 50 ms.
PreCopyOutcome pre_copy(const Guest& guest) {
  constexpr double kLink = 37.5e6;
  std::mt19937_64 random(6);
  std::poisson_distribution<int> writes(static_cast<double>(guest.written) / guest.tau * kPage /
                                        kLink);
  SwitchPolicy policy;
  std::vector<bool> to_send(guest.ram, true);  // in this round or the next
  auto remaining = static_cast<double>(guest.ram);
  double sent = 0;
  const auto ram = static_cast<double>(guest.ram);
  for (int round = 0; round < 30; ++round) {
    const std::vector<bool> pages = to_send;
    for (std::uint64_t page = 0; page < guest.ram; ++page) {
      if (!pages[page]) continue;
      to_send[page] = false;
      --remaining;
      ++sent;
      for (int left = writes(random); left > 0; --left) {
        auto written = to_send[guest.ram - 1 - random() % guest.written];
        if (!written) ++remaining;
        written = true;
      }
      if (policy.in_vain(remaining * kPage, sent * kPage))
        return {true, sent / ram, remaining / ram};
    }
    if (remaining * kPage <= 0.05 * kLink) break;
  }
  return {false, sent / ram, remaining / ram};
}

TEST(SwitchPolicy, EndsEarlyForAGuestThatWritesFasterThanTheLinkCarries) {
  const PreCopyOutcome all = pre_copy({.tau = 0.05});
  EXPECT_TRUE(all.in_vain);
  EXPECT_LE(all.sent, 0.06);
  EXPECT_LE(all.sent + all.rest, 1.3);
  // Half of RAM is idle, and is sent first.
  const PreCopyOutcome half = pre_copy({.ram = 131'072, .tau = 0.05});
  EXPECT_TRUE(half.in_vain);
  EXPECT_GE(half.sent, 0.5);
  EXPECT_LE(half.sent + half.rest, 1.1);
}

TEST(SwitchPolicy, EndsNearTheMinimumForAGuestThatWritesAboutAsFast) {
  const PreCopyOutcome outcome = pre_copy({.tau = 2.6});
  EXPECT_TRUE(outcome.in_vain);
  // However long pre-copy went on, no more than link x tau = 0.36 of RAM would be clean at a time.
  EXPECT_LE(outcome.rest, 0.8);
  EXPECT_LE(outcome.sent + outcome.rest, 1.6);
}

TEST(SwitchPolicy, NeverEndsForAGuestThatWritesAQuarterOfWhatTheLinkCarries) {
  const double link_pages = 37.5e6 / kPage;
  const PreCopyOutcome all = pre_copy({.tau = 65'536 / (link_pages / 4)});
  EXPECT_FALSE(all.in_vain);
  EXPECT_LE(all.sent, 2);
  const PreCopyOutcome half = pre_copy({.written = 32'768, .tau = 32'768 / (link_pages / 4)});
  EXPECT_FALSE(half.in_vain);
}

}  // namespace
}  // namespace migration
