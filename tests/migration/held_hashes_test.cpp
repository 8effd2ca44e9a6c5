#include "migration/reuse/held_hashes.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace migration {
namespace {

constexpr std::uint64_t kHeldTestPages = 300;

PageHash numbered(unsigned content) {
  PageHash hash{};
  hash[0] = static_cast<std::byte>(content);
  hash[15] = static_cast<std::byte>(content >> 8);
  return hash;
}

vmm::PageSet held_pages(const std::vector<vmm::PageRange>& ranges) {
  vmm::PageSet bitmap(kHeldTestPages);
  for (const vmm::PageRange& range : ranges) bitmap.set(range);
  return bitmap;
}

TEST(HeldHashes, KnowThePageAndItsContent) {
  // Over the edges of words of the bitmap.
  const HeldHashes held(held_pages({{5, 1}, {63, 2}, {299, 1}}),
                        {numbered(5), numbered(63), numbered(64), numbered(299)});
  for (unsigned page = 0; page < kHeldTestPages; ++page) {
    const bool is_held = page == 5 || page == 63 || page == 64 || page == 299;
    EXPECT_EQ(held.same(page, numbered(page)), is_held) << page;
    EXPECT_FALSE(held.same(page, numbered(page + 1))) << page;
    EXPECT_FALSE(held.same(page, numbered(page + 256))) << page;
  }
}

TEST(HeldHashes, TellWhichOfSomeRangesAreTheSame) {
  const HeldHashes held(held_pages({{60, 10}}), std::vector<PageHash>(10, numbered(1)));
  const std::vector<vmm::PageRange> asked{{58, 4}, {68, 4}};
  std::vector<PageHash> hashes(8, numbered(1));
  hashes[3] = numbered(2);  // of page 61
  EXPECT_EQ(held.same(asked, hashes), (std::vector<vmm::PageRange>{{60, 1}, {68, 2}}));
}

TEST(HeldHashes, NeedAHashForEachPage) {
  EXPECT_THROW(HeldHashes(held_pages({{0, 2}}), {numbered(1)}), std::invalid_argument);
  EXPECT_THROW(HeldHashes(held_pages({{0, 1}}), {numbered(1), numbered(2)}), std::invalid_argument);
}

}  // namespace
}  // namespace migration
