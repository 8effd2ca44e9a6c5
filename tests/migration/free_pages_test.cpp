#include "migration/pages/free_pages.hpp"

#include <gtest/gtest.h>

#include <array>
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

  static constexpr std::uint64_t kPages = 256;
  int heard_ = 0;
  FreePages pages_{kPages, [this] { ++heard_; }};
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

}  // namespace
}  // namespace migration
