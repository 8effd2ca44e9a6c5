#include "migration/postcopy/recent_faults.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace migration {
namespace {

using Pages = std::vector<vmm::PageIndex>;

TEST(RecentFaults, AreTakenOnceOldestFirst) {
  RecentFaults faults;
  EXPECT_EQ(faults.take_new(), Pages{});
  faults.add(7);
  faults.add(3);
  EXPECT_EQ(faults.take_new(), (Pages{7, 3}));
  EXPECT_EQ(faults.take_new(), Pages{});
  faults.add(7);
  EXPECT_EQ(faults.take_new(), Pages{7});
}

TEST(RecentFaults, AreTheLastOnesWhereThereWereMany) {
  RecentFaults faults;
  for (vmm::PageIndex page = 0; page < 3 * RecentFaults::kKept + 5; ++page) faults.add(page);
  const Pages pages = faults.take_new();
  ASSERT_EQ(pages.size(), RecentFaults::kKept);
  EXPECT_EQ(pages.front(), 2 * RecentFaults::kKept + 5);
  EXPECT_EQ(pages.back(), 3 * RecentFaults::kKept + 4);
}

TEST(RecentFaults, ArriveFromAnotherThread) {
  RecentFaults faults;
  std::atomic<bool> enough = false;
  vmm::PageIndex added = 0;
  std::thread adding([&] {
    while (!enough) faults.add(++added);
  });
  vmm::PageIndex last = 0;
  const auto take = [&] {
    const Pages pages = faults.take_new();
    // A newer page may stand in for one of these, by whole turns of what is kept.
    for (std::size_t i = 1; i < pages.size(); ++i) {
      EXPECT_EQ((pages[i] - pages[i - 1]) % RecentFaults::kKept, 1U);
    }
    if (!pages.empty()) last = pages.back();
    return !pages.empty();
  };
  for (int batches = 0; batches < 20;) batches += take() ? 1 : 0;
  enough = true;
  adding.join();
  take();
  EXPECT_EQ(last, added);
}

}  // namespace
}  // namespace migration
