#include "migration/policy/hot_pages.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

namespace migration {
namespace {

constexpr std::uint64_t kFewPages = 200;

vmm::PageSet pages(std::initializer_list<vmm::PageIndex> list) {
  vmm::PageSet bitmap(kFewPages);
  for (const vmm::PageIndex page : list) bitmap.set(page);
  return bitmap;
}

TEST(HotPages, AreThoseDirtiedInKOfTheLastN) {
  HotPages hot(kFewPages, 3, 4);
  hot.observe(pages({1, 2, 3, 63, 199}));
  hot.observe(pages({1, 2, 64, 199}));
  hot.observe(pages({1, 3, 64, 199}));
  hot.observe(pages({2, 64, 199}));
  EXPECT_EQ(hot.hot(), pages({1, 2, 64, 199}));
}

TEST(HotPages, ForgetWhatIsOlderThanN) {
  HotPages hot(kFewPages, 2, 3);
  hot.observe(pages({1, 5}));
  hot.observe(pages({1}));
  hot.observe(pages({5}));
  EXPECT_EQ(hot.hot(), pages({1, 5}));
  hot.observe(pages({}));
  EXPECT_EQ(hot.hot(), pages({}));  // 1 and 5 once each
  hot.observe(pages({5}));
  EXPECT_EQ(hot.hot(), pages({5}));
  hot.observe(pages({7}));
  hot.observe(pages({7}));
  EXPECT_EQ(hot.hot(), pages({7}));
  EXPECT_EQ(hot.observations(), 3U);
}

TEST(HotPages, AreNoneWithFewerThanKObservations) {
  HotPages hot(kFewPages, 2, 4);
  EXPECT_EQ(hot.hot(), pages({}));
  EXPECT_EQ(hot.observations(), 0U);
  hot.observe(pages({1, 2}));
  EXPECT_EQ(hot.hot(), pages({}));
  EXPECT_EQ(hot.observations(), 1U);
}

TEST(HotPages, AreKOfWhatIsThereWithFewerThanN) {
  HotPages hot(kFewPages, 2, 4);
  hot.observe(pages({1, 2}));
  hot.observe(pages({2, 3}));
  EXPECT_EQ(hot.hot(), pages({2}));
  hot.observe(pages({3}));
  EXPECT_EQ(hot.hot(), pages({2, 3}));
}

TEST(HotPages, AreThoseOfTheNewestWithOneOfOne) {
  HotPages hot(kFewPages, 1, 1);
  hot.observe(pages({1, 2}));
  hot.observe(pages({2, 3}));
  EXPECT_EQ(hot.hot(), pages({2, 3}));
}

TEST(HotPages, AreThoseOfAllWithNOfN) {
  HotPages hot(kFewPages, 3, 3);
  for (int i = 0; i < 10; ++i) {
    hot.observe(i % 2 == 0 ? pages({1, 2}) : pages({2, 3}));
    EXPECT_EQ(hot.hot(), i < 2 ? pages({}) : pages({2})) << i;
  }
}

}  // namespace
}  // namespace migration
