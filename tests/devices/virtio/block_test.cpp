#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include "tests/devices/virtio/block_fixture.hpp"

namespace devices::virtio {
namespace {

TEST_F(BlockTest, TellsTheDriverOfItself) {
  start();
  EXPECT_EQ(block_->type(), 2);
  EXPECT_EQ(block_->features(), 1U << 2 | 1U << 6 | 1U << 9 | 1U << 13 | 1U << 14);
  const auto config = block_->config();
  ASSERT_EQ(config.size(), 60U);
  EXPECT_EQ(number_at<std::uint64_t>(config, 0), kSectors);
  EXPECT_EQ(number_at<std::uint32_t>(config, 12), 254U);
  EXPECT_EQ(number_at<std::uint32_t>(config, 20), 512U);
  EXPECT_EQ(number_at<std::uint32_t>(config, 36), Block::kMostDiscarded);
  EXPECT_EQ(number_at<std::uint32_t>(config, 40), 1U);
  EXPECT_EQ(number_at<std::uint32_t>(config, 44), 8U);
  EXPECT_EQ(number_at<std::uint32_t>(config, 48), Block::kMostZeroed);
  EXPECT_EQ(number_at<std::uint32_t>(config, 52), 1U);
  EXPECT_EQ(number_at<std::uint8_t>(config, 56), 1U);
}

TEST_F(BlockTest, OffersOfAReadOnlyDiskWhatChangesNothing) {
  start(true);
  EXPECT_EQ(block_->features(), 1U << 2 | 1U << 5 | 1U << 6 | 1U << 9);
}

TEST_F(BlockTest, ReadsWhatIsAtHandWithoutWaiting) {
  start();
  storage_->fill(5 * kSectorSize, 1024, std::byte{'x'});
  offer(0, Type::in, 5, 1024);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(memory(data_of(0), 1025), std::string(1024, 'x') + '\0');
  EXPECT_EQ(driver_.used_element(0).length, 1025U);
  EXPECT_EQ(storage_->calls(), Calls{});
}

TEST_F(BlockTest, ReadsWhatTheHostHasToFetch) {
  start();
  storage_->at_hand = false;
  storage_->fill((kSectors - 1) * kSectorSize, kSectorSize, std::byte{'y'});
  offer(0, Type::in, kSectors - 1, kSectorSize);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(memory(data_of(0), kSectorSize), std::string(kSectorSize, 'y'));
  EXPECT_EQ(storage_->calls(), Calls{"read"});
}

TEST_F(BlockTest, Writes) {
  start();
  put_text(data_of(0), std::string(kSectorSize, 'w'));
  offer(0, Type::out, 7, kSectorSize);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(storage_->content(7 * kSectorSize - 1, kSectorSize + 2),
            '\0' + std::string(kSectorSize, 'w') + '\0');
  EXPECT_EQ(driver_.used_element(0).length, 1U);
  EXPECT_EQ(storage_->calls(), Calls{"write"});
}

TEST_F(BlockTest, TakesAHeaderInPiecesAndDataThatFollowsIt) {
  start();
  put_header(0, Type::out, 9);
  const std::string data = std::string(200, 'a') + std::string(312, 'b');
  put_text(header_of(0) + 16, data);
  offer(0, {{header_of(0), 1},
            {header_of(0) + 1, 10},
            {header_of(0) + 11, 205},
            {header_of(0) + 216, 312},
            {status_place(1), 1, true}});
  EXPECT_EQ(status_after(1, 1), Status::ok);
  EXPECT_EQ(storage_->content(9 * kSectorSize, kSectorSize), data);
}

TEST_F(BlockTest, ReadsIntoPiecesAndPutsTheStatusBehindThem) {
  start();
  storage_->fill(0, kSectorSize, std::byte{'r'});
  put_header(0, Type::in, 0);
  offer(0, {{header_of(0), 16}, {data_of(0), 100, true}, {data_of(1), 413, true}});
  await_done(1);
  EXPECT_EQ(memory(data_of(0), 101), std::string(100, 'r') + '\0');
  EXPECT_EQ(memory(data_of(1), 413), std::string(412, 'r') + '\0');
  EXPECT_EQ(driver_.used_element(0).length, 513U);
}

TEST_F(BlockTest, FlushesWhileItReads) {
  start();
  storage_->at_hand = false;
  storage_->hold("flush");
  offer(0, Type::flush, 0);
  EXPECT_EQ(storage_->calls(1), Calls{"flush"});
  offer(2, Type::in, 0, kSectorSize);
  EXPECT_EQ(status_after(1, 2), Status::ok);
  EXPECT_EQ(driver_.used_element(0).head, 2U);
  storage_->let_go();
  EXPECT_EQ(status_after(2, 0), Status::ok);
  EXPECT_EQ(driver_.used_element(1).head, 0U);
}

TEST_F(BlockTest, FlushesWhatWasCompleteBefore) {
  start();
  offer(0, Type::out, 0, kSectorSize);
  EXPECT_EQ(next_status(), Status::ok);
  offer(0, Type::flush, 0);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(storage_->calls(), (Calls{"write", "flush"}));
}

TEST_F(BlockTest, FlushesEachWriteOfADriverThatCannot) {
  start(false, 0);
  offer(0, Type::out, 0, kSectorSize);
  EXPECT_EQ(next_status(), Status::ok);
  offer_range(Type::discard, 0, 1);
  EXPECT_EQ(next_status(), Status::ok);
  storage_->at_hand = false;
  offer(0, Type::in, 0, kSectorSize);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(storage_->calls(), (Calls{"write", "flush", "discard 0 512", "flush", "read"}));
}

TEST_F(BlockTest, PausesWhenNothingIsUnderWay) {
  start();
  storage_->hold("write");
  offer(0, Type::out, 0, kSectorSize);
  offer(3, Type::out, 1, kSectorSize);
  EXPECT_EQ(storage_->calls(2).size(), 2U);
  queue_->request_pause();
  EXPECT_FALSE(queue_->wait_paused(std::chrono::steady_clock::now()));
  storage_->let_go();
  EXPECT_TRUE(queue_->wait_paused(std::nullopt));
  EXPECT_EQ(queue_->state().next_used, 2);
}

TEST_F(BlockTest, EndsWithRequestsUnderWay) {
  start();
  storage_->hold("write");
  offer(0, Type::out, 0, kSectorSize);
  EXPECT_EQ(storage_->calls(1).size(), 1U);
  queue_->request_pause();
  storage_->let_go();
  queue_.reset();
  block_.reset();
  EXPECT_EQ(status_of(0), Status::ok);
}

TEST_F(BlockTest, TellsItsId) {
  start();
  put_text(data_of(0), std::string(21, 'z'));
  offer(0, Type::get_id, 0, 20);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(memory(data_of(0), 21), "a fake" + std::string(14, '\0') + 'z');
  put_text(data_of(0), std::string(21, 'z'));
  offer(0, Type::get_id, 0, 4);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(memory(data_of(0), 5), "a faz");
}

TEST_F(BlockTest, DiscardsAndZeroes) {
  start();
  offer_range(Type::discard, 8, kSectors - 8);
  EXPECT_EQ(next_status(), Status::ok);
  offer_range(Type::write_zeroes, 2, 3);
  EXPECT_EQ(next_status(), Status::ok);
  offer_range(Type::write_zeroes, 2, 3, 1);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(storage_->calls(),
            (Calls{"discard 4096 520192", "zero 1024 1536", "zero 1024 1536 unmap"}));
  offer_range(Type::discard, kSectors, 0);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(storage_->calls().size(), 3U);
}

// Who has given up one that hangs, in another thread, does not hang in the next.
TEST_F(BlockTest, IsTakenOrGivenByOneAtATime) {
  start();
  storage_->hold("acquire");
  std::thread hangs([this] { block_->acquire(); });
  EXPECT_EQ(storage_->calls(1), Calls{"acquire"});
  EXPECT_THROW(block_->acquire(), std::system_error);
  EXPECT_THROW(block_->release(), std::system_error);
  storage_->let_go();
  hangs.join();
  block_->release();
  storage_->failing = true;
  for (int i = 0; i < 2; ++i) EXPECT_THROW(block_->acquire(), std::system_error);
  EXPECT_EQ(storage_->calls(), (Calls{"acquire", "release", "acquire", "acquire"}));
}

TEST_F(BlockTest, TellsOfAFailureOfTheHostOnce) {
  start();
  storage_->failing = true;
  for (int i = 0; i < 2; ++i) {
    offer(0, Type::flush, 0);
    EXPECT_EQ(next_status(), Status::io_error);
  }
  ASSERT_EQ(told().size(), 1U);
  EXPECT_EQ(told()[0], "disk 'fake': cannot flush: Input/output error");
  storage_->failing = false;
  offer(0, Type::flush, 0);
  EXPECT_EQ(next_status(), Status::ok);
  EXPECT_EQ(told().size(), 1U);
  storage_->failing = true;
  offer(0, Type::out, 0, kSectorSize);
  EXPECT_EQ(next_status(), Status::io_error);
  EXPECT_EQ(told().size(), 2U);
}

}  // namespace
}  // namespace devices::virtio
