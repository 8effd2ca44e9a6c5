#include "migration/policy/compression_policy.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kBlock = 64 * 1024;

/// A compressor of 800 MiB/s that halves its input.
void probe(CompressionPolicy& policy, double ratio = 0.5) {
  policy.probed(kBlock, kBlock * ratio, kBlock / (800 * kMiB));
}
void send_raw(CompressionPolicy& policy, double link) {
  for (int i = 0; i < 8; ++i) policy.sent_raw(kMiB, kMiB / link);
}

TEST(CompressionPolicy, ForcedOnAndOffStaysSo) {
  CompressionPolicy on(Compression::lz4, 0);
  CompressionPolicy off(Compression::none, 0);
  EXPECT_TRUE(on.compress());
  EXPECT_FALSE(off.compress());
  EXPECT_FALSE(on.probe_due());
  EXPECT_FALSE(off.probe_due());
  send_raw(off, 10 * kMiB);
  for (int i = 0; i < 1000; ++i) on.sent_compressed(kBlock, kBlock, 1, 0);
  EXPECT_TRUE(on.compress());
  EXPECT_FALSE(off.compress());
}

TEST(CompressionPolicy, AsksForATrialFirst) {
  const CompressionPolicy policy(Compression::automatic, 0);
  EXPECT_TRUE(policy.probe_due());
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, SendsRawOverALinkFasterThanTheCompressor) {
  CompressionPolicy policy(Compression::automatic, 0);
  probe(policy);
  send_raw(policy, 2000 * kMiB);
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, CompressesOnceTheLinkProvesSlow) {
  CompressionPolicy policy(Compression::automatic, 0);
  probe(policy);
  EXPECT_FALSE(policy.compress());
  send_raw(policy, 120 * kMiB);
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, CompressesFromTheFirstPageUnderALowCap) {
  CompressionPolicy policy(Compression::automatic, 125e6);
  probe(policy);
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, DoesNotCompressWhatDoesNotShrink) {
  CompressionPolicy policy(Compression::automatic, 125e6);
  probe(policy, 0.99);
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, TriesAgainNowAndThenWhileItSendsRaw) {
  CompressionPolicy policy(Compression::automatic, 125e6);
  probe(policy, 0.99);
  EXPECT_FALSE(policy.probe_due());
  for (int i = 0; i < 16; ++i) policy.sent_raw(kMiB, 0.001);
  EXPECT_TRUE(policy.probe_due());
  probe(policy, 0.4);
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, GoesOnCompressingWhileTheLinkHoldsItUp) {
  CompressionPolicy policy(Compression::automatic, 0);
  probe(policy);
  send_raw(policy, 120 * kMiB);
  for (int i = 0; i < 1024; ++i) {
    policy.sent_compressed(kBlock, kBlock / 2, kBlock / (800 * kMiB), kBlock / (300 * kMiB));
  }
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, GivesUpWhatProvesSlowerThanRawForAWhileThatDoubles) {
  CompressionPolicy policy(Compression::automatic, 0);
  const auto mib_until_tried = [&] {
    for (double sent = 0;; sent += 8) {
      if (policy.probe_due()) probe(policy);  // 800 MiB/s, says the trial block
      if (policy.compress()) return sent;
      send_raw(policy, 500 * kMiB);
    }
  };
  const auto send_compressed = [&] {  // 480 MiB/s in all
    for (int i = 0; i < 128 && policy.compress(); ++i) {
      policy.sent_compressed(kBlock, kBlock / 2, kBlock / (800 * kMiB), kBlock / (1200 * kMiB));
    }
    return policy.compress();
  };
  EXPECT_LE(mib_until_tried(), 16);
  EXPECT_FALSE(send_compressed());
  EXPECT_GE(mib_until_tried(), 64);
  EXPECT_FALSE(send_compressed());
  EXPECT_GE(mib_until_tried(), 128);
}

TEST(CompressionPolicy, LooksAtTheLinkAgainWhenTheCompressorLimits) {
  CompressionPolicy policy(Compression::automatic, 0);
  probe(policy);
  send_raw(policy, 120 * kMiB);
  ASSERT_TRUE(policy.compress());
  for (int i = 0; i < 128; ++i) {
    policy.sent_compressed(kBlock, kBlock / 2, kBlock / (800 * kMiB), kBlock / (9000 * kMiB));
  }
  EXPECT_FALSE(policy.compress());
  send_raw(policy, 2000 * kMiB);
  EXPECT_FALSE(policy.compress());
}

}  // namespace
}  // namespace migration
