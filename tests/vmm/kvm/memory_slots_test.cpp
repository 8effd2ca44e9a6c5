#include "vmm/kvm/memory_slots.hpp"

#include <gtest/gtest.h>

namespace vmm {
namespace {

TEST(MemorySlots, AreRamInOrderInPiecesOfAtMost4GiB) {
  const std::vector<RamSlot> slots = memory_slots(GuestMemory(10_GiB));
  ASSERT_EQ(slots.size(), 3U);
  EXPECT_EQ(slots[0].base, GuestAddress{0});
  EXPECT_EQ(slots[0].pages(), (PageRange{0, 3_GiB / kPageSize}));
  EXPECT_EQ(slots[1].base, GuestAddress{4_GiB});
  EXPECT_EQ(slots[1].pages(), (PageRange{3_GiB / kPageSize, 4_GiB / kPageSize}));
  EXPECT_EQ(slots[2].base, GuestAddress{8_GiB});
  EXPECT_EQ(slots[2].pages(), (PageRange{7_GiB / kPageSize, 3_GiB / kPageSize}));
}

TEST(MemorySlots, AreNotMuchMoreThan64) {
  const std::vector<RamSlot> slots = memory_slots(GuestMemory(1024_GiB));
  EXPECT_EQ(slots.size(), 65U);
  EXPECT_EQ(slots[1].size, 16_GiB);
  EXPECT_EQ(slots.back().pages().end(), 1024_GiB / kPageSize);
}

}  // namespace
}  // namespace vmm
