#include "vmm/memory/huge_page.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/vmm/memory/without_huge_pages.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace vmm {
namespace {

constexpr PageRange kBlock{kHugePagePages, kHugePagePages};

TEST(HugePage, OfAFileKeepsWhatIsThereAndHasNoHoles) {
  GuestMemory memory(kMinMemory, Backing::memfd);
  const auto bytes = memory.pages(kBlock);
  std::memset(bytes.data() + 5 * kPageSize, 7, kPageSize);
  if (!make_huge(bytes.data())) GTEST_SKIP() << "this kernel gives no huge pages (MADV_COLLAPSE)";

  PageSet populated(memory.page_count());
  memory.add_populated({0, memory.page_count()}, populated);
  EXPECT_EQ(populated.ranges({0, memory.page_count()}), std::vector<PageRange>{kBlock});
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const int wanted = at / kPageSize == 5 ? 7 : 0;
    ASSERT_EQ(std::to_integer<int>(bytes[at]), wanted) << "byte " << at;
  }
}

TEST(HugePage, MayBeMadeTwice) {
  GuestMemory memory(kMinMemory, Backing::memfd);
  const auto bytes = memory.pages(kBlock);
  if (!make_huge(bytes.data())) GTEST_SKIP() << "this kernel gives no huge pages (MADV_COLLAPSE)";
  std::memset(bytes.data(), 3, bytes.size());
  EXPECT_TRUE(make_huge(bytes.data()));
  EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{3}; }));
}

TEST(HugePage, ThatTheHostDoesNotGiveLeavesWhatIsThere) {
  GuestMemory memory(kMinMemory, Backing::memfd);
  const auto bytes = memory.pages(kBlock);
  bytes[9] = std::byte{4};
  const WithoutHugePages without;
  EXPECT_FALSE(make_huge(bytes.data()));
  EXPECT_EQ(bytes[9], std::byte{4});
}

}  // namespace
}  // namespace vmm
