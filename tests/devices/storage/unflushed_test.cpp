#include "devices/storage/unflushed.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace devices::storage {
namespace {

void change(Unflushed& disk) { const Unflushed::Change change(disk); }

TEST(Unflushed, HasNoneAtFirstAndAfterAFlush) {
  Unflushed disk;
  EXPECT_FALSE(disk.any());
  for (int times = 0; times < 2; ++times) {
    change(disk);
    EXPECT_TRUE(disk.any());
    disk.flush([] {});
    EXPECT_FALSE(disk.any());
  }
}

TEST(Unflushed, StaysSoWhenAFlushFails) {
  Unflushed disk;
  change(disk);
  EXPECT_THROW(disk.flush([] { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_TRUE(disk.any());
}

TEST(Unflushed, IsWhatChangesWhileItIsFlushed) {
  Unflushed disk;
  disk.flush([&] { change(disk); });
  EXPECT_TRUE(disk.any());
  {
    const Unflushed::Change begun(disk);
    disk.flush([] {});
    EXPECT_FALSE(disk.any());
  }
  EXPECT_TRUE(disk.any());
}

// One that was slow tells nothing of what came after it began.
TEST(Unflushed, IsNothingThatALaterFlushHas) {
  Unflushed disk;
  change(disk);
  disk.flush([&] {
    change(disk);
    disk.flush([] {});
  });
  EXPECT_FALSE(disk.any());
}

}  // namespace
}  // namespace devices::storage
