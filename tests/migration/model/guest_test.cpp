#include "migration/model/guest.hpp"

#include <gtest/gtest.h>

#include "vmm/memory/page_set.hpp"

namespace migration::model {
namespace {

constexpr std::uint64_t kRam = 1024;  // pages

GuestShape shape() {
  GuestShape guest;
  guest.pages = kRam;
  guest.writes.region = {100, 200};
  guest.writes.per_second = 1000;
  return guest;
}

vmm::PageSet written_by(GuestShape shape, double seconds, unsigned throttle = 0) {
  WritingGuest guest(shape, 1);
  vmm::PageSet all(kRam);
  guest.clear_touched({0, kRam}, all);
  guest.run_until(seconds, throttle);
  return guest.log();
}

TEST(ModelGuest, LogsEverythingAtFirstAndThenWhatIsWritten) {
  WritingGuest guest(shape(), 1);
  EXPECT_EQ(guest.log().count(), kRam);
  vmm::PageSet touched(kRam);
  guest.clear_touched({0, kRam}, touched);
  EXPECT_EQ(touched.count(), kRam);
  EXPECT_TRUE(guest.log().empty());
  guest.run_until(0.01, 0);
  const vmm::PageSet written = guest.log();
  EXPECT_GE(written.count(), 8U);  // 10 writes
  EXPECT_EQ(written.count(), written.count({100, 200}));
  guest.clear(written, {0, 192});
  EXPECT_EQ(guest.log().count(), written.count({192, 200}));
}

TEST(ModelGuest, CountsTheWritesOfAPage) {
  GuestShape one = shape();
  one.writes.region = {7, 1};
  WritingGuest guest(one, 1);
  EXPECT_EQ(guest.version(7), 1U);
  guest.run_until(0.5, 0);
  EXPECT_EQ(guest.version(7), 501U);
  EXPECT_EQ(guest.version(8), 1U);
}

TEST(ModelGuest, TouchesPagesThatNobodyEverDid) {
  GuestShape empty = shape();
  empty.used = 0;
  empty.writes.where = WritePattern::Where::sweep;
  WritingGuest guest(empty, 1);
  EXPECT_EQ(guest.used(), 0U);
  EXPECT_EQ(guest.version(100), 0U);
  guest.run_until(0.05, 0);
  EXPECT_EQ(guest.used(), 50U);
  EXPECT_EQ(guest.version(100), 2U);
}

TEST(ModelGuest, HasZeroPagesUntilTheyAreWritten) {
  GuestShape zeros = shape();
  zeros.zero = 1;
  zeros.writes.where = WritePattern::Where::sweep;
  WritingGuest guest(zeros, 1);
  guest.run_until(0.001, 0);
  EXPECT_FALSE(guest.zero(100));
  EXPECT_TRUE(guest.zero(101));
}

TEST(ModelGuest, WritesWhereItsPatternSays) {
  GuestShape guest = shape();
  guest.writes.where = WritePattern::Where::sweep;
  EXPECT_EQ(written_by(guest, 0.15).ranges(), (std::vector<vmm::PageRange>{{100, 150}}));
  guest.writes.where = WritePattern::Where::hot_cold;
  guest.writes.hot_share = 0.1;
  guest.writes.hot_writes = 1;
  EXPECT_EQ(written_by(guest, 10).ranges(), (std::vector<vmm::PageRange>{{100, 20}}));
  guest.writes.where = WritePattern::Where::uniform;
  EXPECT_EQ(written_by(guest, 10).ranges(), (std::vector<vmm::PageRange>{{100, 200}}));
}

TEST(ModelGuest, RestsBetweenBursts) {
  GuestShape guest = shape();
  guest.writes.where = WritePattern::Where::sweep;
  guest.writes.busy_seconds = 0.01;
  guest.writes.quiet_seconds = 0.09;
  EXPECT_EQ(written_by(guest, 0.01).count(), 10U);
  EXPECT_EQ(written_by(guest, 0.1).count(), 10U);
  EXPECT_EQ(written_by(guest, 0.105).count(), 15U);
}

TEST(ModelGuest, IsSlowedByAThrottle) {
  GuestShape guest = shape();
  guest.writes.where = WritePattern::Where::sweep;
  EXPECT_EQ(written_by(guest, 0.1005, 80).count(), 20U);
}

}  // namespace
}  // namespace migration::model
