#include "migration/pages/page_target.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "vmm/memory/huge_page.hpp"

namespace migration {
namespace {

constexpr std::uint64_t kBlock = vmm::kHugePagePages;

class PageRoom : public ::testing::Test {
 protected:
  void SetUp() override {
    vmm::GuestMemory other(vmm::kMinMemory, vmm::Backing::memfd);
    if (!vmm::make_huge(other.pages({0, kBlock}))) {
      GTEST_SKIP() << "this kernel gives no huge pages (MADV_COLLAPSE)";
    }
  }

  /// What is there of RAM after room was made for these.
  static std::vector<vmm::PageRange> made_for(vmm::Backing backing,
                                              const std::vector<vmm::PageRange>& pages) {
    vmm::GuestMemory memory(vmm::kMinMemory + (1U << 20), backing);
    PageTarget target(memory);
    target.make_room(pages);
    vmm::DirtyBitmap populated(memory.page_count());
    memory.add_populated({0, memory.page_count()}, populated);
    return populated.ranges({0, memory.page_count()});
  }
};

using Ranges = std::vector<vmm::PageRange>;

TEST_F(PageRoom, IsAHugePageWhereManyPagesCome) {
  EXPECT_EQ(made_for(vmm::Backing::memfd, {{kBlock + 100, 256}}), (Ranges{{kBlock, kBlock}}));
}

TEST_F(PageRoom, IsMadeInEachBlockThatPagesReachInto) {
  EXPECT_EQ(made_for(vmm::Backing::memfd, {{kBlock - 100, 256}}), (Ranges{{0, 2 * kBlock}}));
}

TEST_F(PageRoom, IsMadeForManyPagesThatLieApart) {
  Ranges apart;
  for (vmm::PageIndex page = 0; page < 128; page += 2) apart.push_back({page, 1});
  EXPECT_EQ(made_for(vmm::Backing::memfd, apart), (Ranges{{0, kBlock}}));
}

TEST_F(PageRoom, IsNotMadeForFewPages) {
  EXPECT_EQ(made_for(vmm::Backing::memfd, {{kBlock - 10, 20}, {5 * kBlock, 20}}), Ranges{});
}

TEST_F(PageRoom, IsNotMadeInTheHalfBlockAtTheEnd) {
  EXPECT_EQ(made_for(vmm::Backing::memfd, {{8 * kBlock, kBlock / 2}}), Ranges{});
}

TEST_F(PageRoom, OfAnonymousMemoryIsTheKernels) {
  EXPECT_EQ(made_for(vmm::Backing::anonymous, {{0, kBlock}}), Ranges{});
}

}  // namespace
}  // namespace migration
