#include "migration/policy/channel_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace migration {
namespace {

constexpr double kChunk = 0.004;  // seconds
/// Longer than any window.
constexpr double kLong = 0.1;

/// Each active channel spends its time so, chunk by chunk, for as long.
void spend(ChannelPolicy& policy, double ran, double waited, double seconds = kLong) {
  for (double passed = 0; passed < seconds; passed += kChunk) {
    for (unsigned channel = policy.active(); channel > 0; --channel) {
      policy.worked({ran * kChunk, waited * kChunk, kChunk});
    }
  }
}

/// So many processors for those that send, each of which has always work.
void share(ChannelPolicy& policy, double processors, double seconds = kLong) {
  for (double passed = 0; passed < seconds; passed += kChunk) {
    const unsigned active = policy.active();
    const double ran = std::min(1.0, processors / active);
    for (unsigned channel = active; channel > 0; --channel) {
      policy.worked({ran * kChunk, (1 - ran) * kChunk, kChunk});
    }
  }
}

TEST(ChannelPolicy, BeginsWithOne) { EXPECT_EQ(ChannelPolicy(4).active(), 1U); }

TEST(ChannelPolicy, AddsChannelsWhileTheProcessorLimitsThem) {
  ChannelPolicy policy(4);
  spend(policy, 0.95, 0);
  EXPECT_EQ(policy.active(), 4U);
}

TEST(ChannelPolicy, HasNoMoreThanAreOpen) {
  ChannelPolicy policy(1);
  spend(policy, 1, 0);
  EXPECT_EQ(policy.active(), 1U);
}

TEST(ChannelPolicy, AddsTheFirstOneBeforeMuchHasGone) {
  ChannelPolicy policy(4);
  spend(policy, 0.95, 0, 0.012);
  EXPECT_EQ(policy.active(), 2U);
}

TEST(ChannelPolicy, LeavesOneThatWaitsForTheLinkAlone) {
  ChannelPolicy policy(4);
  spend(policy, 0.4, 0);
  EXPECT_EQ(policy.active(), 1U);
}

TEST(ChannelPolicy, CountsTheTimeThatOthersTakeTheProcessor) {
  ChannelPolicy policy(2);
  spend(policy, 0.4, 0.4);
  EXPECT_EQ(policy.active(), 2U);
}

TEST(ChannelPolicy, CountsNoWaitOfOneThatSeldomWorks) {
  ChannelPolicy policy(2);
  spend(policy, 0.02, 0.9);  // under a low cap, on a busy host
  EXPECT_EQ(policy.active(), 1U);
}

TEST(ChannelPolicy, AddsNoMoreThanThereAreProcessorsFor) {
  ChannelPolicy policy(4);
  share(policy, 1);
  EXPECT_EQ(policy.active(), 1U);
  ChannelPolicy other(4);
  share(other, 2);
  EXPECT_EQ(other.active(), 2U);
}

TEST(ChannelPolicy, TriesLessAndLessOftenWhatWasInVain) {
  ChannelPolicy policy(2);
  unsigned tries = 0;
  for (unsigned chunk = 0; chunk < 10'000; ++chunk) {
    const unsigned before = policy.active();
    share(policy, 1, kChunk);
    if (policy.active() > before) ++tries;
  }
  EXPECT_GE(tries, 4U);
  EXPECT_LE(tries, 12U);
}

TEST(ChannelPolicy, DoesWithoutThoseThatHaveLittleToDo) {
  ChannelPolicy policy(4);
  spend(policy, 0.95, 0);
  ASSERT_EQ(policy.active(), 4U);
  spend(policy, 0.05, 0);  // a cap was set
  EXPECT_EQ(policy.active(), 1U);
}

TEST(ChannelPolicy, KeepsThoseThatShareTheWork) {
  ChannelPolicy policy(2);
  spend(policy, 0.95, 0);
  ASSERT_EQ(policy.active(), 2U);
  spend(policy, 0.5, 0.1);
  EXPECT_EQ(policy.active(), 2U);
}

TEST(ChannelsToOpen, AreAsManyAsThereAreProcessorsAndFew) {
  EXPECT_EQ(channels_to_open(0), 1U);  // not known
  EXPECT_EQ(channels_to_open(2), 2U);
  EXPECT_EQ(channels_to_open(64), 4U);
}

}  // namespace
}  // namespace migration
