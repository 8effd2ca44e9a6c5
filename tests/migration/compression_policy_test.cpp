#include "migration/policy/compression_policy.hpp"

#include <gtest/gtest.h>

namespace migration {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kBlock = 64 * 1024;

/// A compressor of 800 MiB/s that halves its input.
void probe(CompressionPolicy& policy, double ratio = 0.5) {
  policy.probed(kBlock, {kBlock * ratio, kBlock / (800 * kMiB)});
}
void send_raw(CompressionPolicy& policy, double link) {
  for (int i = 0; i < 8; ++i) policy.sent_raw(kMiB, kMiB / link);
}

TEST(CompressionPolicy, ForcedOnAndOffStaysSo) {
  CompressionPolicy on(Compression::lz4, 0, false);
  CompressionPolicy off(Compression::none, 0, false);
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
  const CompressionPolicy policy(Compression::automatic, 0, false);
  EXPECT_TRUE(policy.probe_due());
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, SendsRawOverALinkFasterThanTheCompressor) {
  CompressionPolicy policy(Compression::automatic, 0, false);
  probe(policy);
  send_raw(policy, 2000 * kMiB);
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, CompressesOnceTheLinkProvesSlow) {
  CompressionPolicy policy(Compression::automatic, 0, false);
  probe(policy);
  EXPECT_FALSE(policy.compress());
  send_raw(policy, 120 * kMiB);
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, CompressesFromTheFirstPageUnderALowCap) {
  CompressionPolicy policy(Compression::automatic, 125e6, false);
  probe(policy);
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, DoesNotCompressWhatDoesNotShrink) {
  CompressionPolicy policy(Compression::automatic, 125e6, false);
  probe(policy, 0.99);
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, TriesAgainNowAndThenWhileItSendsRaw) {
  CompressionPolicy policy(Compression::automatic, 125e6, false);
  probe(policy, 0.99);
  EXPECT_FALSE(policy.probe_due());
  for (int i = 0; i < 16; ++i) policy.sent_raw(kMiB, 0.001);
  EXPECT_TRUE(policy.probe_due());
  probe(policy, 0.4);
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, GoesOnCompressingWhileTheLinkHoldsItUp) {
  CompressionPolicy policy(Compression::automatic, 0, false);
  probe(policy);
  send_raw(policy, 120 * kMiB);
  for (int i = 0; i < 1024; ++i) {
    policy.sent_compressed(kBlock, kBlock / 2, kBlock / (800 * kMiB), kBlock / (300 * kMiB));
  }
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, GivesUpWhatProvesSlowerThanRawForAWhileThatDoubles) {
  CompressionPolicy policy(Compression::automatic, 0, false);
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

/// A window that carries so many bytes of pages a second, and waits for its peer.
void send_waiting(CompressionPolicy& policy, double carried) {
  for (int i = 0; i < 8; ++i) policy.sent_compressed(kMiB, kMiB / 2, 0.001, kMiB / carried - 0.001);
}

TEST(CompressionPolicy, LooksAtRawDataWhereCompressedOnesCarryLessThanTheCap) {
  CompressionPolicy policy(Compression::automatic, 60 * kMiB, false);
  probe(policy);
  ASSERT_TRUE(policy.compress());
  send_waiting(policy, 20 * kMiB);
  EXPECT_FALSE(policy.compress());
  send_raw(policy, 40 * kMiB);
  EXPECT_TRUE(policy.compress());  // as it might be the link that is slow
  send_waiting(policy, 20 * kMiB);
  EXPECT_FALSE(policy.compress());
  for (int i = 0; i < 7; ++i) {
    send_raw(policy, 40 * kMiB);
    EXPECT_FALSE(policy.probe_due());
  }
}

TEST(CompressionPolicy, GoesOnCompressingOverALinkBelowItsCap) {
  CompressionPolicy policy(Compression::automatic, 60 * kMiB, false);
  probe(policy);
  send_waiting(policy, 20 * kMiB);
  send_raw(policy, 10 * kMiB);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(policy.compress());
    send_waiting(policy, 20 * kMiB);
  }
}

/// Compressed pages that go at `rate` bytes a second on the wire, each of them half its size.
void send_halved(CompressionPolicy& policy, double rate) {
  for (int i = 0; i < 8; ++i) policy.sent_compressed(kMiB, kMiB / 2, 0, kMiB / 2 / rate);
}

TEST(CompressionPolicy, GoesOnCompressingWhereMoreChannelsShareALinkWithoutACap) {
  CompressionPolicy policy(Compression::automatic, 0, false);
  send_raw(policy, 100 * kMiB);
  probe(policy);
  ASSERT_TRUE(policy.compress());
  policy.share_link(0, 4);
  EXPECT_TRUE(policy.compress());
  send_halved(policy, 25 * kMiB);  // 50 MiB/s of pages: more than raw ones could be now
  EXPECT_TRUE(policy.compress());
}

TEST(CompressionPolicy, SendsRawWhereMoreChannelsAreFasterThanTheCompressor) {
  CompressionPolicy policy(Compression::automatic, 0, false);
  probe(policy);
  send_raw(policy, 2000 * kMiB);
  policy.share_link(0, 4);
  probe(policy);  // 800 MiB/s, and 500 would be a fourth
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, LooksAtTheLinkAgainWhenTheCompressorLimits) {
  CompressionPolicy policy(Compression::automatic, 0, false);
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

/// A compressor that halves its input, at 800 MiB/s, and one that takes most of the rest, at 300.
void compare(CompressionPolicy& policy, double zstd_ratio = 0.3) {
  policy.compared(kBlock, {kBlock / 2, kBlock / (800 * kMiB)},
                  {kBlock * zstd_ratio, kBlock / (300 * kMiB)});
}
/// A window of what is compressed, of which so many bytes a second are on the wire.
void send_compressed(CompressionPolicy& policy, double ratio, double link) {
  for (int i = 0; i < 8; ++i) {
    policy.sent_compressed(kMiB, kMiB * ratio, kMiB / (800 * kMiB), kMiB * ratio / link);
  }
}
/// One that knows what both carry, over a link of that speed.
CompressionPolicy compared(double cap, double zstd_ratio = 0.3) {
  CompressionPolicy policy(Compression::automatic, cap, true);
  probe(policy);
  send_compressed(policy, 0.5, cap);
  EXPECT_TRUE(policy.comparison_due());
  compare(policy, zstd_ratio);
  EXPECT_TRUE(policy.compress());
  return policy;
}

TEST(CompressionPolicy, TakesZstandardOnASlowLink) {
  const CompressionPolicy policy = compared(25 * kMiB);
  EXPECT_EQ(policy.format(), BlockFormat::zstd);
  EXPECT_FALSE(policy.comparison_due());
}

TEST(CompressionPolicy, StaysWithLz4WhereTheLinkOutrunsZstandard) {
  EXPECT_EQ(compared(250 * kMiB).format(), BlockFormat::lz4);
}

TEST(CompressionPolicy, StaysWithLz4WhereZstandardShrinksHardlyMore) {
  EXPECT_EQ(compared(25 * kMiB, 0.47).format(), BlockFormat::lz4);
}

TEST(CompressionPolicy, ComparesNothingBeforeAWindowHasGoneByLz4) {
  CompressionPolicy policy(Compression::automatic, 25 * kMiB, true);
  probe(policy);
  EXPECT_TRUE(policy.compress());
  EXPECT_FALSE(policy.comparison_due());
}

TEST(CompressionPolicy, DoesNotTryZstandardThatThePeerDoesNotKnow) {
  CompressionPolicy policy(Compression::automatic, 25 * kMiB, false);
  probe(policy);
  send_compressed(policy, 0.5, 25 * kMiB);
  EXPECT_TRUE(policy.compress());
  EXPECT_FALSE(policy.comparison_due());
}

TEST(CompressionPolicy, ComparesAgainNowAndThenWhicheverItTakes) {
  CompressionPolicy policy = compared(25 * kMiB);
  send_compressed(policy, 0.3, 25 * kMiB);
  EXPECT_FALSE(policy.comparison_due());
  send_compressed(policy, 0.3, 25 * kMiB);
  EXPECT_TRUE(policy.comparison_due());
  compare(policy, 0.47);
  EXPECT_EQ(policy.format(), BlockFormat::lz4);
  send_compressed(policy, 0.5, 25 * kMiB);
  send_compressed(policy, 0.5, 25 * kMiB);
  EXPECT_TRUE(policy.comparison_due());
  compare(policy);
  EXPECT_EQ(policy.format(), BlockFormat::zstd);
}

TEST(CompressionPolicy, LeavesZstandardThatCarriesLessForAWhileThatDoubles) {
  CompressionPolicy policy = compared(25 * kMiB);
  const auto windows_until_compared = [&] {
    send_compressed(policy, 0.3, 10 * kMiB);  // the peer cannot unpack it that fast
    EXPECT_EQ(policy.format(), BlockFormat::lz4);
    int windows = 0;
    for (; !policy.comparison_due() && windows < 1000; ++windows) {
      send_compressed(policy, 0.5, 25 * kMiB);
    }
    compare(policy);
    EXPECT_EQ(policy.format(), BlockFormat::zstd);
    return windows;
  };
  EXPECT_GE(windows_until_compared(), 64 / 8);
  EXPECT_GE(windows_until_compared(), 128 / 8);
}

TEST(CompressionPolicy, ASmallerShareIsNoReasonToLeaveZstandard) {
  for (const unsigned channels : {1U, 4U}) {  // a lower cap, and a part of it
    CompressionPolicy policy = compared(25 * kMiB);
    policy.share_link(5 * kMiB, channels);
    send_compressed(policy, 0.3, 5 * kMiB);
    EXPECT_EQ(policy.format(), BlockFormat::zstd) << channels;
  }
}

TEST(CompressionPolicy, ALargerShareIsNoReasonToKeepZstandard) {
  CompressionPolicy policy = compared(5 * kMiB);
  policy.share_link(25 * kMiB, 1);
  send_compressed(policy, 0.3, 10 * kMiB);  // the peer cannot unpack it that fast
  EXPECT_EQ(policy.format(), BlockFormat::lz4);
}

TEST(CompressionPolicy, PagesThatShrinkLessAreNoReasonToLeaveZstandard) {
  CompressionPolicy policy = compared(25 * kMiB);
  send_compressed(policy, 0.8, 25 * kMiB);
  EXPECT_EQ(policy.format(), BlockFormat::zstd);
}

TEST(CompressionPolicy, LooksAtTheLinkByLz4WhenZstandardLimits) {
  CompressionPolicy policy(Compression::automatic, 0, true);
  probe(policy);
  send_raw(policy, 25 * kMiB);
  send_compressed(policy, 0.5, 25 * kMiB);
  compare(policy);
  ASSERT_EQ(policy.format(), BlockFormat::zstd);
  send_compressed(policy, 0.3, 2000 * kMiB);
  EXPECT_EQ(policy.format(), BlockFormat::lz4);
}

TEST(CompressionPolicy, SendsRawWhereNothingShrinksAnyMore) {
  CompressionPolicy policy = compared(25 * kMiB);
  send_compressed(policy, 0.99, 25 * kMiB);
  EXPECT_FALSE(policy.compress());
}

TEST(CompressionPolicy, ZstandardThatIsAskedForStays) {
  CompressionPolicy policy(Compression::zstd, 0, true);
  EXPECT_TRUE(policy.compress());
  EXPECT_EQ(policy.format(), BlockFormat::zstd);
  for (int i = 0; i < 1000; ++i) policy.sent_compressed(kBlock, kBlock, 1, 0);
  EXPECT_EQ(policy.format(), BlockFormat::zstd);
}

}  // namespace
}  // namespace migration
