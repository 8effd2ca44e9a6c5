#include <gtest/gtest.h>

#include <limits>

#include "tests/devices/virtio/block_fixture.hpp"

namespace devices::virtio {
namespace {

TEST_F(BlockTest, RefusesRangesBeyondTheDiskOrItsLimits) {
  start();
  constexpr std::uint64_t kFar = std::numeric_limits<std::uint64_t>::max();
  for (const Type type : {Type::discard, Type::write_zeroes}) {
    offer_range(type, kSectors - 1, 2);
    EXPECT_EQ(next_status(), Status::io_error);
    offer_range(type, kFar, 2);
    EXPECT_EQ(next_status(), Status::io_error);
    offer_range(type, std::uint64_t{1} << 55, 1);  // 2^64 bytes
    EXPECT_EQ(next_status(), Status::io_error);
    offer_range(type, 0, Block::kMostDiscarded + 1);
    EXPECT_EQ(next_status(), Status::io_error);
    offer(0, type, 0, 32);
    EXPECT_EQ(next_status(), Status::io_error);
    offer(0, type, 0, 15);
    EXPECT_EQ(next_status(), Status::io_error);
    offer_range(type, 0, 1, 2);
    EXPECT_EQ(next_status(), Status::unsupported);
  }
  offer_range(Type::discard, 0, 1, 1);
  EXPECT_EQ(next_status(), Status::unsupported);
  EXPECT_EQ(storage_->calls(), Calls{});
}

TEST_F(BlockTest, RefusesTransfersBeyondTheDiskOrInPartsOfASector) {
  start();
  for (const Type type : {Type::in, Type::out}) {
    for (const std::uint64_t sector : {kSectors, kSectors - 1, std::uint64_t{1} << 55,
                                       std::numeric_limits<std::uint64_t>::max()}) {
      offer(0, type, sector, 1024);
      EXPECT_EQ(next_status(), Status::io_error);
    }
    offer(0, type, 0, 511);
    EXPECT_EQ(next_status(), Status::io_error);
    offer(0, type, 0);
    EXPECT_EQ(next_status(), Status::ok);
  }
  EXPECT_EQ(storage_->calls(), Calls{});
}

TEST_F(BlockTest, RefusesTransfersThatTakeLong) {
  constexpr auto kMost = static_cast<std::uint32_t>(Block::kMostData);
  start(false, Block::kFlush, kMost + kSectorSize);
  for (const Type type : {Type::in, Type::out}) {
    offer(0, type, 0, kMost + kSectorSize);
    EXPECT_EQ(next_status(), Status::io_error);
    offer(0, type, 0, kMost);
    EXPECT_EQ(next_status(), Status::ok);
  }
  EXPECT_EQ(storage_->calls(), Calls{"write"});
}

TEST_F(BlockTest, KnowsNoOtherRequests) {
  start();
  for (const std::uint32_t type : {2U, 10U, 14U, 0xffff'ffffU}) {
    offer(0, static_cast<Type>(type), 0, 512);
    EXPECT_EQ(next_status(), Status::unsupported);
  }
}

TEST_F(BlockTest, WritesNothingOfARequestThatIsTooShort) {
  start();
  put_header(0, Type::flush, 0);
  offer(0, {{header_of(0), 15}, {status_place(0), 1, true}});
  await_done(1);
  EXPECT_EQ(driver_.used_element(0).length, 0U);
  offer(0, {{header_of(0), 16}});
  await_done(2);
  EXPECT_EQ(driver_.used_element(1).length, 0U);
  offer(0, {{status_place(0), 1, true}});
  await_done(3);
  EXPECT_EQ(driver_.used_element(2).length, 0U);
  EXPECT_EQ(driver_.get<std::uint8_t>(status_place(0)), kNoStatus);
  EXPECT_EQ(storage_->calls(), Calls{});
}

TEST_F(BlockTest, ChangesNothingOfAReadOnlyDisk) {
  start(true);
  offer(0, Type::out, 0, kSectorSize);
  EXPECT_EQ(next_status(), Status::io_error);
  offer_range(Type::discard, 0, 1);
  EXPECT_EQ(next_status(), Status::io_error);
  offer_range(Type::write_zeroes, 0, 1);
  EXPECT_EQ(next_status(), Status::io_error);
  EXPECT_EQ(storage_->calls(), Calls{});
  offer(0, Type::in, 0, kSectorSize);
  EXPECT_EQ(next_status(), Status::ok);
}

}  // namespace
}  // namespace devices::virtio
