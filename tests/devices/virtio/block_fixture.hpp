#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/virtio/block.hpp"
#include "tests/devices/storage/fake_storage.hpp"
#include "tests/devices/virtio/driver.hpp"

namespace devices::virtio {

using Type = Block::RequestType;
using Status = Block::Status;
using storage::FakeStorage;
using storage::kSectorSize;
using Calls = std::vector<std::string>;

inline constexpr std::uint64_t kSectors = 1024;
inline constexpr std::uint8_t kNoStatus = 0xff;

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

}  // namespace devices::virtio
