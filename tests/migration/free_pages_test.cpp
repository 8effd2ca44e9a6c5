#include "migration/pages/free_pages.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace migration {
namespace {

using Ranges = std::vector<vmm::PageRange>;

class FreePagesTest : public testing::Test {
 protected:
  void name(vmm::PageRange range) { pages_.free({&range, 1}); }
  void write(vmm::PageIndex page) {
    vmm::PageSet written(kPages);
    written.set(page);
    pages_.written(written);
  }
  Ranges all() { return pages_.in({0, kPages}); }

  static vmm::PageSet all_touched() {
    vmm::PageSet touched(kPages);
    touched.set(vmm::PageRange{0, kPages});
    return touched;
  }

  static constexpr std::uint64_t kBytes = 256U << 20;
  static constexpr std::uint64_t kPages = kBytes / vmm::kPageSize;
  int heard_ = 0;
  vmm::GuestMemory memory_{kBytes};
  FreePages pages_{memory_, all_touched(), [this] { ++heard_; }};
};

TEST_F(FreePagesTest, AreThoseThatWereNamed) {
  pages_.begins();
  const std::array some = {vmm::PageRange{3, 4}, vmm::PageRange{100, 1}};
  pages_.free(some);
  name({5, 10});
  EXPECT_EQ(all(), (Ranges{{3, 12}, {100, 1}}));
  EXPECT_EQ(pages_.in({64, 64}), (Ranges{{100, 1}}));
  EXPECT_EQ(pages_.so_far().pages, 13U);
  EXPECT_FALSE(pages_.so_far().over);
  pages_.told_all();
  EXPECT_TRUE(pages_.so_far().begun);
  EXPECT_TRUE(pages_.so_far().over);
  EXPECT_EQ(heard_, 2);
}

TEST_F(FreePagesTest, AreNotThoseThatWereWrittenSince) {
  name({3, 4});
  write(5);
  EXPECT_EQ(all(), (Ranges{{3, 2}, {6, 1}}));
}

// The guest had it again before its word arrived.
TEST_F(FreePagesTest, AreNotThoseThatWereWrittenBeforeTheyWereNamed) {
  write(5);
  name({3, 4});
  EXPECT_EQ(all(), (Ranges{{3, 2}, {6, 1}}));
  name({5, 1});
  EXPECT_EQ(all(), (Ranges{{3, 2}, {6, 1}}));
  EXPECT_EQ(pages_.so_far().pages, 3U);
}

// A kernel that clears what it takes makes its guest larger. What nobody touches costs nothing.
TEST_F(FreePagesTest, AreTooDearWhenTheyMakeTheGuestLarger) {
  constexpr std::uint64_t kHalf = FreePageWait::kMostGrown / 2;
  FreePages pages(memory_, vmm::PageSet(kPages), [this] { ++heard_; });
  const vmm::PageRange untouched{0, kHalf};
  pages.free({&untouched, 1});
  EXPECT_EQ(pages.so_far().grown, 0U);
  for (std::uint64_t times = 1; times <= 3; ++times) {
    EXPECT_EQ(heard_, 0);
    const vmm::PageRange cleared{times * kHalf, kHalf};
    std::ranges::fill(memory_.pages(cleared), std::byte{0});
    for (int again = 0; again < 2; ++again) pages.free({&cleared, 1});
    EXPECT_EQ(pages.so_far().grown, times * kHalf);
    EXPECT_EQ(FreePageWait::too_dear(pages.so_far()), times == 3);
  }
  EXPECT_EQ(heard_, 1);
}

TEST_F(FreePagesTest, AreTooDearWhenTheyAreNamedAgainAndAgain) {
  for (std::uint64_t times = 0; times < FreePageWait::kMostTimesNamed; ++times) name({0, kPages});
  EXPECT_EQ(heard_, 0);
  EXPECT_FALSE(FreePageWait::too_dear(pages_.so_far()));
  for (int more = 0; more < 2; ++more) name({0, kPages});
  EXPECT_EQ(heard_, 1);
  EXPECT_TRUE(FreePageWait::too_dear(pages_.so_far()));
  EXPECT_EQ(pages_.so_far().pages, kPages);
}

TEST_F(FreePagesTest, TellOnceOfAGuestThatBeginsAndEndsWithoutEnd) {
  for (int times = 0; times < 100; ++times) {
    pages_.begins();
    pages_.told_all();
  }
  EXPECT_EQ(heard_, 2);
}

// What it has named before stays named: that was right.
TEST_F(FreePagesTest, AreTooDearWhenTheHostCannotTellWhatTheyCost) {
  vmm::GuestMemory memory(kBytes, vmm::Backing::memfd);
  FreePages pages(memory, vmm::PageSet(kPages), [this] { ++heard_; });
  const vmm::PageRange range{0, 8};
  pages.free({&range, 1});
  EXPECT_EQ(heard_, 0);
  const vmm::PageRange gone{64, 8};
  ASSERT_EQ(::munmap(memory.pages(gone).data(), memory.pages(gone).size()), 0);
  for (int again = 0; again < 2; ++again) pages.free({&gone, 1});
  EXPECT_EQ(heard_, 1);
  EXPECT_TRUE(FreePageWait::too_dear(pages.so_far()));
  EXPECT_EQ(pages.in({0, 64}), (Ranges{{0, 8}}));
}

}  // namespace
}  // namespace migration
