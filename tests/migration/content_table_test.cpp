#include "migration/pages/content_table.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace migration {
namespace {

using Sent = ContentTable::Sent;

/// Those with the same `place`, of less than 65536, share a place of the table.
PageHash content_of(std::uint64_t place, std::uint64_t number = 0) {
  PageHash hash{};
  std::memcpy(hash.data(), &place, sizeof place);
  std::memcpy(&hash[sizeof place], &number, sizeof number);
  return hash;
}

TEST(ContentTable, TellsWhichPageWentWithAContent) {
  ContentTable table(1024, 1);
  EXPECT_EQ(table.find(content_of(5)), std::nullopt);
  table.put(content_of(5), {17, 2});
  table.put(content_of(6), {18, 3});
  EXPECT_EQ(table.find(content_of(5)), (Sent{17, 2}));
  EXPECT_EQ(table.find(content_of(6)), (Sent{18, 3}));
  EXPECT_EQ(table.find(content_of(5, 1)), std::nullopt);
}

TEST(ContentTable, KeepsTheNewestPageOfAContent) {
  ContentTable table(1024, 1);
  table.put(content_of(5), {17, 2});
  table.put(content_of(5), {99, 3});
  EXPECT_EQ(table.find(content_of(5)), (Sent{99, 3}));
}

TEST(ContentTable, ForgetsTheOldestOfThoseThatShareAPlace) {
  ContentTable table(1024, 1);
  for (std::uint64_t number = 0; number < 4; ++number)
    table.put(content_of(5, number), {number, 1});
  table.put(content_of(5, 0), {7, 2});  // is the newest now
  table.put(content_of(5, 4), {4, 2});
  EXPECT_EQ(table.find(content_of(5, 0)), (Sent{7, 2}));
  EXPECT_EQ(table.find(content_of(5, 1)), std::nullopt);
  for (std::uint64_t number = 2; number < 5; ++number) {
    EXPECT_EQ(table.find(content_of(5, number))->page, number);
  }
}

TEST(ContentTable, HasRoomForAnySizeOfRam) {
  for (const std::uint64_t pages : {std::uint64_t{1}, std::uint64_t{1} << 32}) {
    ContentTable table(pages, 1);
    table.put(content_of(~std::uint64_t{0}), {pages - 1, 1});
    EXPECT_EQ(table.find(content_of(~std::uint64_t{0})), (Sent{pages - 1, 1}));
  }
}

}  // namespace
}  // namespace migration
