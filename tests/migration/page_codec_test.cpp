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

}  // namespace
}  // namespace migration
