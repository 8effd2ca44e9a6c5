#include "migration/pages/page_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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

}  // namespace
}  // namespace migration
