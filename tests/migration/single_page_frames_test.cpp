#include "migration/postcopy/single_page_frames.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "migration/base/page_content.hpp"
#include "tests/migration/fault_peer.hpp"

namespace migration {
namespace {

using wire::FrameType;
using wire::PageEncoding;

constexpr vmm::PageIndex kZero = 1;
constexpr vmm::PageIndex kText = 2;   ///< of one byte, again and again
constexpr vmm::PageIndex kNoise = 3;  ///< that LZ4 makes no smaller
constexpr std::uint32_t kFactor = 1'664'525;
constexpr std::uint32_t kTerm = 1'013'904'223;
constexpr unsigned kHighByte = 24;

class FramesOfSinglePages : public ::testing::Test {
 protected:
  FramesOfSinglePages() {
    std::ranges::fill(memory_.pages({kText, 1}), std::byte{'a'});
    std::uint32_t noise = 1;
    for (std::byte& byte : memory_.pages({kNoise, 1})) {
      noise = noise * kFactor + kTerm;
      byte = static_cast<std::byte>(noise >> kHighByte);
    }
  }

  [[nodiscard]] std::span<const std::byte> page(vmm::PageIndex index) const {
    return memory_.pages({index, 1});
  }
  /// What comes next, as long as no other page comes.
  wire::SinglePage received(FrameType type) {
    payload_ = peer_.receive(type).value_or(wire::Bytes(16));
    return wire::decode_page(payload_, memory_.page_count());
  }

  boost::asio::io_context context_;
  vmm::GuestMemory memory_{16U << 20};
  PageCounters counters_;
  FaultPeer peer_;
  net::Stream stream_{peer_.socket(context_), kPeerDeadline};
  SinglePageFrames frames_{memory_, counters_, true};
  wire::Bytes payload_;
};

TEST_F(FramesOfSinglePages, GoInOneWriteInTheOrderInWhichTheyWereAdded) {
  frames_.add(FrameType::page, kNoise, true);
  frames_.add(FrameType::early, kZero, false);
  frames_.add(FrameType::page, kText, true);
  frames_.add(FrameType::early, kText, false);
  EXPECT_FALSE(frames_.empty());
  const std::uint64_t bytes = frames_.write(stream_);
  EXPECT_TRUE(frames_.empty());
  EXPECT_GT(bytes, 2 * vmm::kPageSize);
  EXPECT_LT(bytes, 3 * vmm::kPageSize);

  const auto noise = received(FrameType::page);
  EXPECT_EQ(noise.page, kNoise);
  EXPECT_EQ(noise.encoding, PageEncoding::raw);
  EXPECT_EQ(noise.digest, digest_of(page(kNoise)));
  EXPECT_TRUE(std::ranges::equal(noise.data, page(kNoise)));
  const auto zero = received(FrameType::early);
  EXPECT_EQ(zero.page, kZero);
  EXPECT_EQ(zero.encoding, PageEncoding::zero);
  EXPECT_EQ(received(FrameType::page).encoding, PageEncoding::lz4);
  const auto text = received(FrameType::early);
  EXPECT_EQ(text.encoding, PageEncoding::raw);
  EXPECT_TRUE(std::ranges::equal(text.data, page(kText)));
  EXPECT_EQ(counters_.zero, 1U);
  EXPECT_EQ(counters_.raw, 2U);
  EXPECT_EQ(counters_.compressed, 1U);
}

TEST_F(FramesOfSinglePages, OfALostLinkDoNotGoOverTheNext) {
  frames_.add(FrameType::page, kNoise, false);
  frames_.clear();
  EXPECT_TRUE(frames_.empty());
  frames_.add(FrameType::page, kText, false);
  frames_.write(stream_);
  EXPECT_EQ(received(FrameType::page).page, kText);
}

}  // namespace
}  // namespace migration
