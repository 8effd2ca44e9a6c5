#include "migration/pages/huge_page_collapser.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/huge_page.hpp"

namespace migration {
namespace {

constexpr std::uint64_t kHuge = vmm::kHugePagePages;

class HugePageCollapsing : public ::testing::Test {
 protected:
  void SetUp() override {
    vmm::GuestMemory other(vmm::kMinMemory, vmm::Backing::memfd);
    if (!vmm::make_huge(other.pages({0, kHuge}).data())) {
      GTEST_SKIP() << "this kernel gives no huge pages (MADV_COLLAPSE)";
    }
  }

  /// What is there of RAM after it was collapsed for these.
  std::vector<vmm::PageRange> collapsed_for(const std::vector<vmm::PageRange>& pages) {
    collapser_.collapse_for(pages);
    vmm::PageSet populated(memory_.page_count());
    memory_.add_populated({0, memory_.page_count()}, populated);
    return populated.ranges({0, memory_.page_count()});
  }

  // Eight blocks and a half.
  vmm::GuestMemory memory_{vmm::kMinMemory + (1U << 20), vmm::Backing::memfd};
  HugePageCollapser collapser_{memory_.pages({0, memory_.page_count()})};
};

using Ranges = std::vector<vmm::PageRange>;

TEST_F(HugePageCollapsing, MakesAHugePageWhereManyPagesCome) {
  EXPECT_EQ(collapsed_for({{kHuge + 100, 256}}), (Ranges{{kHuge, kHuge}}));
}

TEST_F(HugePageCollapsing, MakesOneInEachBlockThatPagesReachInto) {
  EXPECT_EQ(collapsed_for({{kHuge - 100, 256}}), (Ranges{{0, 2 * kHuge}}));
}

TEST_F(HugePageCollapsing, MakesOneForManyPagesThatLieApart) {
  Ranges apart;
  for (vmm::PageIndex page = 0; page < 128; page += 2) apart.push_back({page, 1});
  EXPECT_EQ(collapsed_for(apart), (Ranges{{0, kHuge}}));
}

TEST_F(HugePageCollapsing, MakesNoneForFewPages) {
  EXPECT_EQ(collapsed_for({{kHuge - 10, 20}, {5 * kHuge, 20}}), Ranges{});
}

TEST_F(HugePageCollapsing, MakesNoneInTheHalfBlockAtTheEnd) {
  EXPECT_EQ(collapsed_for({{8 * kHuge, kHuge / 2}}), Ranges{});
}

TEST_F(HugePageCollapsing, MakesNoneWhereManyAreThere) {
  vmm::PageSet there(memory_.page_count());
  there.set(vmm::PageRange{0, kHuge / 2});
  there.set(vmm::PageRange{kHuge, 3});
  collapser_.exclude(there);
  EXPECT_EQ(collapsed_for({{0, 3 * kHuge}}), (Ranges{{kHuge, 2 * kHuge}}));
}

}  // namespace
}  // namespace migration
