#include "devices/virtio/block.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/devices/storage/fake_storage.hpp"
#include "tests/devices/virtio/driver.hpp"

namespace devices::virtio {
namespace {

using Type = Block::RequestType;
using Status = Block::Status;
using storage::FakeStorage;
using storage::kSectorSize;
using Calls = std::vector<std::string>;

constexpr std::uint64_t kSectors = 1024;
constexpr std::uint8_t kNoStatus = 0xff;

/// Bytes of a request's memory, and whether the device writes them.
struct Part {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  bool written = false;
};

class BlockTest : public testing::Test {
 protected:
  /// Of the request that begins with that descriptor: where its memory is.
  static std::uint64_t header_of(std::uint16_t head) {
    return Driver::kData + std::uint64_t{0x10000} * head;
  }
  static std::uint64_t status_place(std::uint16_t head) { return header_of(head) + 0x100; }
  static std::uint64_t data_of(std::uint16_t head) { return header_of(head) + 0x1000; }

  void start(bool read_only = false, std::uint64_t features = Block::kFlush,
             std::uint64_t bytes = kSectors * kSectorSize) {
    storage_ = std::make_shared<FakeStorage>(bytes, read_only);
    block_ = std::make_unique<Block>(storage_, [this](const std::string& what) {
      const vmm::Lock lock(mutex_);
      told_.push_back(what);
    });
    block_->begin(features);
    queue_.emplace(
        Queue(memory_, Driver::state(), false), notified_,
        ServedQueue::Callbacks{.serve = [this](ServedQueue& queue) { block_->serve(0, queue); },
                               .interrupt = [this] { count_interrupt(); },
                               .broken = [](const std::string& why) { ADD_FAILURE() << why; }},
        0U);
    queue_->resume();
  }
  void offer(std::uint16_t head, const std::vector<Part>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto index = static_cast<std::uint16_t>(head + i);
      const bool last = i + 1 == parts.size();
      const int flags = (parts[i].written ? kDescriptorWrite : 0) | (last ? 0 : kDescriptorNext);
      driver_.describe(index, {parts[i].address, parts[i].length, static_cast<std::uint16_t>(flags),
                               static_cast<std::uint16_t>(index + 1)});
    }
    driver_.offer(head);
    notified_.signal();
  }
  void put_header(std::uint16_t head, Type type, std::uint64_t sector) {
    driver_.put(header_of(head), static_cast<std::uint32_t>(type));
    driver_.put(header_of(head) + 8, sector);
    driver_.put(status_place(head), kNoStatus);
  }
  /// A request with up to one piece of data, in its plain form.
  void offer(std::uint16_t head, Type type, std::uint64_t sector, std::uint32_t bytes = 0) {
    put_header(head, type, sector);
    std::vector<Part> parts = {{header_of(head), 16}};
    const bool written = type == Type::in || type == Type::get_id;
    if (bytes > 0) parts.push_back({data_of(head), bytes, written});
    parts.push_back({status_place(head), 1, true});
    offer(head, parts);
  }
  void offer_range(Type type, std::uint64_t sector, std::uint32_t sectors,
                   std::uint32_t flags = 0) {
    driver_.put(data_of(0), sector);
    driver_.put(data_of(0) + 8, sectors);
    driver_.put(data_of(0) + 12, flags);
    offer(0, type, 0, 16);
  }
  /// The status of the request at `head`, which is the `number`th that is done.
  Status status_after(std::size_t number, std::uint16_t head = 0) {
    await_done(number);
    return status_of(head);
  }
  /// Of the next request, where one follows the other.
  Status next_status() { return status_after(++done_); }
  Status status_of(std::uint16_t head) {
    return static_cast<Status>(driver_.get<std::uint8_t>(status_place(head)));
  }
  void await_done(std::size_t number) {
    vmm::Lock lock(mutex_);
    EXPECT_TRUE(interrupted_.wait_for(lock, std::chrono::seconds(20),
                                      [&] { return interrupts_ >= number; }));
  }
  std::vector<std::string> told() {
    const vmm::Lock lock(mutex_);
    return told_;
  }
  std::string memory(std::uint64_t address, std::uint64_t length) {
    const auto bytes = memory_.at({address}, length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  void put_text(std::uint64_t address, const std::string& text) {
    std::memcpy(memory_.at({address}, text.size()).data(), text.data(), text.size());
  }

  vmm::GuestMemory memory_{2 * Block::kMostData};
  Driver driver_{memory_};
  vmm::EventFd notified_;
  std::shared_ptr<FakeStorage> storage_;
  std::unique_ptr<Block> block_;
  std::optional<ServedQueue> queue_;

 private:
  void count_interrupt() {
    const vmm::Lock lock(mutex_);
    ++interrupts_;
    interrupted_.notify_all();
  }

  std::size_t done_ = 0;
  vmm::Mutex mutex_;
  vmm::Condition interrupted_;
  std::size_t interrupts_ = 0;
  std::vector<std::string> told_;
};

template <typename Number>
Number number_at(const std::vector<std::byte>& bytes, std::size_t at) {
  Number number{};
  std::memcpy(&number, &bytes.at(at), sizeof(number));
  return number;
}

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
