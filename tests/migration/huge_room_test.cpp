#include "migration/pages/huge_room.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/huge_page.hpp"

namespace migration {
namespace {

constexpr std::uint64_t kHuge = vmm::kHugePagePages;

class RoomForPages : public ::testing::Test {
 protected:
  void SetUp() override {
    vmm::GuestMemory other(vmm::kMinMemory, vmm::Backing::memfd);
    if (!vmm::make_huge(other.pages({0, kHuge}).data())) {
      GTEST_SKIP() << "this kernel gives no huge pages (MADV_COLLAPSE)";
    }
  }

  /// What is there of RAM after room was made for these.
  std::vector<vmm::PageRange> made_for(const std::vector<vmm::PageRange>& pages) {
    room_.make_for(pages);
    vmm::PageSet populated(memory_.page_count());
    memory_.add_populated({0, memory_.page_count()}, populated);
    return populated.ranges({0, memory_.page_count()});
  }

  // Eight blocks and a half.
  vmm::GuestMemory memory_{vmm::kMinMemory + (1U << 20), vmm::Backing::memfd};
  HugeRoom room_{memory_.pages({0, memory_.page_count()})};
};

using Ranges = std::vector<vmm::PageRange>;

TEST_F(RoomForPages, IsAHugePageWhereManyPagesCome) {
  EXPECT_EQ(made_for({{kHuge + 100, 256}}), (Ranges{{kHuge, kHuge}}));
}

TEST_F(RoomForPages, IsMadeInEachBlockThatPagesReachInto) {
  EXPECT_EQ(made_for({{kHuge - 100, 256}}), (Ranges{{0, 2 * kHuge}}));
}

TEST_F(RoomForPages, IsMadeForManyPagesThatLieApart) {
  Ranges apart;
  for (vmm::PageIndex page = 0; page < 128; page += 2) apart.push_back({page, 1});
  EXPECT_EQ(made_for(apart), (Ranges{{0, kHuge}}));
}

TEST_F(RoomForPages, IsNotMadeForFewPages) {
  EXPECT_EQ(made_for({{kHuge - 10, 20}, {5 * kHuge, 20}}), Ranges{});
}

TEST_F(RoomForPages, IsNotMadeInTheHalfBlockAtTheEnd) {
  EXPECT_EQ(made_for({{8 * kHuge, kHuge / 2}}), Ranges{});
}

TEST_F(RoomForPages, IsNotMadeWhereManyAreThere) {
  vmm::PageSet there(memory_.page_count());
  there.set(vmm::PageRange{0, kHuge / 2});
  there.set(vmm::PageRange{kHuge, 3});
  room_.leave(there);
  EXPECT_EQ(made_for({{0, 3 * kHuge}}), (Ranges{{kHuge, 2 * kHuge}}));
}

}  // namespace
}  // namespace migration
