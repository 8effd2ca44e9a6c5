#include "migration/postcopy/recent_faults.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace migration {
namespace {

using Pages = std::vector<vmm::PageIndex>;

Pages taken(RecentFaults& faults) {
  Pages pages;
  faults.take_new([&](vmm::PageIndex page) { pages.push_back(page); });
  return pages;
}

TEST(RecentFaults, AreTakenOnceOldestFirst) {
  RecentFaults faults;
  EXPECT_EQ(taken(faults), Pages{});
  faults.add(7);
  faults.add(3);
  EXPECT_EQ(taken(faults), (Pages{7, 3}));
  EXPECT_EQ(taken(faults), Pages{});
  faults.add(7);
  EXPECT_EQ(taken(faults), Pages{7});
}

TEST(RecentFaults, AreTheLastOnesWhereThereWereMany) {
  RecentFaults faults;
  for (vmm::PageIndex page = 0; page < 3 * RecentFaults::kKept + 5; ++page) faults.add(page);
  const Pages pages = taken(faults);
  EXPECT_EQ(pages.size(), RecentFaults::kKept);
  EXPECT_EQ(pages.front(), 2 * RecentFaults::kKept + 5);
  EXPECT_EQ(pages.back(), 3 * RecentFaults::kKept + 4);
}

TEST(RecentFaults, ArriveFromAnotherThread) {
  constexpr vmm::PageIndex kAdded = 100000;
  RecentFaults faults;
  std::jthread adding([&] {
    for (vmm::PageIndex page = 1; page <= kAdded; ++page) faults.add(page);
  });
  vmm::PageIndex last = 0;
  std::size_t count = 0;
  while (last != kAdded) {
    for (const vmm::PageIndex page : taken(faults)) {
      ASSERT_TRUE(page >= 1 && page <= kAdded);
      last = page;
      ++count;
    }
  }
  EXPECT_LE(count, kAdded);
}

}  // namespace
}  // namespace migration
