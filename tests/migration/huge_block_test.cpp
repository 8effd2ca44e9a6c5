#include "migration/pages/huge_block.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace migration {
namespace {

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

TEST(HugeBlock, IsZeroAndAlignedAsAHugePage) {
  HugeBlock block;
  const auto bytes = block.zeroed();
  EXPECT_EQ(bytes.size(), HugeBlock::kSize);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % HugeBlock::kSize, 0U);
  EXPECT_TRUE(all_zero(bytes));
}

TEST(HugeBlock, IsZeroAgainAfterItWasMarkedStale) {
  HugeBlock block;
  std::ranges::fill(block.zeroed(), std::byte{1});
  block.mark_stale();
  EXPECT_TRUE(all_zero(block.zeroed()));
}

}  // namespace
}  // namespace migration
