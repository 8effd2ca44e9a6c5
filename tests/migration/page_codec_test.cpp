#include "migration/pages/page_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <random>
#include <span>
#include <vector>

#include "migration/wire/format.hpp"

namespace migration {
namespace {

constexpr std::size_t kPage = 4096;

std::vector<std::byte> pages(std::size_t count, unsigned variety) {
  std::mt19937 random{count + variety};
  std::vector<std::byte> bytes(count * kPage);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % variety);
  return bytes;
}

std::vector<std::byte> packed(const std::vector<std::byte>& bytes) {
  PageCodec codec;
  std::vector<std::byte> block(PageCodec::room_for(bytes.size()));
  block.resize(codec.pack(bytes, block, 1));
  return block;
}

TEST(PageCodec, GivesBackWhatWasPacked) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{16}}) {
    for (const unsigned variety : {1U, 3U, 256U}) {
      const auto before = pages(count, variety);
      std::vector<std::byte> after(before.size());
      PageCodec::unpack(packed(before), after);
      EXPECT_EQ(after, before);
    }
  }
}

TEST(PageCodec, RefusesABlockOfAnotherSizeOfPages) {
  const auto block = packed(pages(2, 3));
  std::vector<std::byte> small(kPage), large(3 * kPage);
  EXPECT_THROW(PageCodec::unpack(block, small), wire::ProtocolError);
  EXPECT_THROW(PageCodec::unpack(block, large), wire::ProtocolError);
}

TEST(PageCodec, RefusesWhatIsNoBlock) {
  const auto block = packed(pages(2, 3));
  std::vector<std::byte> into(2 * kPage);
  EXPECT_THROW(PageCodec::unpack(std::span(block).first(block.size() / 2), into),
               wire::ProtocolError);
  EXPECT_THROW(PageCodec::unpack({}, into), wire::ProtocolError);
  EXPECT_THROW(PageCodec::unpack(std::vector<std::byte>(100, std::byte{0xff}), into),
               wire::ProtocolError);
}

/// `base`, with eight words changed.
std::vector<std::byte> rewritten(std::vector<std::byte> base) {
  for (std::size_t at = 8; at < kPage; at += kPage / 8) {
    for (std::size_t i = 0; i < 8; ++i) base[at + i] ^= std::byte{0x5a};
  }
  return base;
}

std::vector<std::byte> delta_of(const std::vector<std::byte>& page,
                                const std::vector<std::byte>& base) {
  PageCodec codec;
  std::vector<std::byte> block(kPage);
  block.resize(codec.pack_delta(page, base, block));
  return block;
}

TEST(PageCodec, GivesBackAPageFromItsDifference) {
  for (const unsigned variety : {1U, 3U, 256U}) {
    const auto base = pages(1, variety);
    for (const auto& page : {rewritten(base), base, pages(1, 2)}) {
      std::vector<std::byte> after(kPage);
      PageCodec::unpack_delta(delta_of(page, base), base, after);
      EXPECT_EQ(after, page);
    }
  }
}

TEST(PageCodec, MakesASmallDifferenceOfASmallChange) {
  const auto base = pages(1, 256);
  EXPECT_LE(delta_of(rewritten(base), base).size(), 130U);  // of these, 64 are what is new
}

TEST(PageCodec, MakesNoDifferenceThatHasNoRoom) {
  PageCodec codec;
  std::vector<std::byte> small(kPage / 2);
  EXPECT_EQ(codec.pack_delta(pages(1, 255), pages(1, 256), small), 0U);
}

TEST(PageCodec, RefusesADifferenceOfAnotherSize) {
  const auto base = pages(1, 256);
  const auto block = delta_of(rewritten(base), base);
  std::vector<std::byte> small(kPage - 1), large(kPage + 1), page(kPage);
  EXPECT_THROW(PageCodec::unpack_delta(block, base, small), wire::ProtocolError);
  EXPECT_THROW(PageCodec::unpack_delta(block, base, large), wire::ProtocolError);
  // It reaches back beyond the beginning of what it is a difference from.
  const auto short_base = std::span(base).last(kPage / 2);
  EXPECT_THROW(PageCodec::unpack_delta(block, short_base, page), wire::ProtocolError);
}

std::vector<std::byte> packed_by_zstd(const std::vector<std::byte>& bytes) {
  PageCodec codec;
  std::vector<std::byte> block(PageCodec::room_for(bytes.size()));
  block.resize(codec.pack_zstd(bytes, block));
  return block;
}

TEST(PageCodec, GivesBackWhatZstandardPacked) {
  PageCodec codec;
  for (const std::size_t count : {std::size_t{1}, std::size_t{16}}) {
    for (const unsigned variety : {1U, 3U, 256U}) {
      const auto before = pages(count, variety);
      std::vector<std::byte> after(before.size());
      codec.unpack(BlockFormat::zstd, packed_by_zstd(before), after);
      EXPECT_EQ(after, before);
    }
  }
}

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

void expect_damaged(const std::vector<std::byte>& frame, std::size_t size) {
  // What is behind the pages is not theirs.
  std::vector<std::byte> into(size + kPage, std::byte{0x5a});
  PageCodec codec;
  EXPECT_THROW(codec.unpack(BlockFormat::zstd, frame, std::span(into).first(size)),
               wire::ProtocolError);
  EXPECT_EQ(std::ranges::count(std::span(into).subspan(size), std::byte{0x5a}), kPage);
}

TEST(PageCodec, RefusesAZstandardFrameOfAnotherSizeOfPages) {
  const auto bomb = packed_by_zstd(std::vector<std::byte>(16 * kPage));
  expect_damaged(bomb, kPage);
  expect_damaged(bomb, 17 * kPage);
}

TEST(PageCodec, RefusesAZstandardFrameThatIsNotWhole) {
  const auto frame = packed_by_zstd(pages(2, 3));
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{3}, std::size_t{9}, frame.size() - 1}) {
    expect_damaged({frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size)}, 2 * kPage);
  }
}

TEST(PageCodec, RefusesWhatIsBehindAZstandardFrame) {
  const auto frame = packed_by_zstd(pages(2, 3));
  auto longer = frame;
  longer.push_back(std::byte{0});
  expect_damaged(longer, 2 * kPage);
  auto twice = frame;
  twice.insert(twice.end(), frame.begin(), frame.end());
  expect_damaged(twice, 4 * kPage);
  // A frame that is to be skipped, of no bytes.
  const auto skipped = bytes_of({0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0});
  longer = frame;
  longer.insert(longer.end(), skipped.begin(), skipped.end());
  expect_damaged(longer, 2 * kPage);
}

TEST(PageCodec, UnpacksTheZstandardFrameOfTheProtocol) {
  std::vector<std::byte> page(kPage);
  PageCodec codec;
  codec.unpack(BlockFormat::zstd,
               bytes_of({0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00, 0x0f, 0x03, 0x80, 0x00, 0x41}), page);
  EXPECT_EQ(page, std::vector<std::byte>(kPage, std::byte{0x41}));
}

TEST(PageCodec, RefusesAZstandardFrameThatDoesNotSayItsSize) {
  // The same without it, but with a window of 64 KiB.
  expect_damaged(bytes_of({0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x30, 0x03, 0x80, 0x00, 0x41}), kPage);
}

}  // namespace
}  // namespace migration
