/// Feeds the block device with a driver that puts what it likes into its queue. The fake disk ends
/// the process when it is asked for what it has not; AddressSanitizer sees what is reached outside
/// of the guest's memory.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "devices/virtio/block.hpp"
#include "devices/virtio/queue.hpp"
#include "devices/virtio/served_queue.hpp"
#include "tests/devices/storage/fake_storage.hpp"
#include "vmm/os/event_fd.hpp"
#include "vmm/os/mutex.hpp"

namespace {

using devices::storage::FakeStorage;
using devices::virtio::Block;
using devices::virtio::Queue;
using devices::virtio::QueueState;
using devices::virtio::ServedQueue;

constexpr std::uint64_t kRam = std::uint64_t{16} << 20;
constexpr std::uint64_t kDisk = std::uint64_t{64} << 10;
/// What the input fills: a small part of RAM, so that addresses meet what they point to.
constexpr std::uint64_t kFilled = 0x4000;
/// The queue is at its front, and requests follow.
constexpr QueueState kState{
    .size = 8, .descriptors = 0, .driver_area = 0x80, .device_area = 0xa0, .next_available = 0};
/// A queue that lies in its requests' memory may bring requests without end.
constexpr std::chrono::milliseconds kLongest{50};

/// Until all requests are taken, or the driver has broken the rules.
class Taken {
 public:
  void set() {
    const vmm::Lock lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  void wait() {
    vmm::Lock lock(mutex_);
    static_cast<void>(
        changed_.wait_for(lock, kLongest, [this]() FERRY_REQUIRES(mutex_) { return set_; }));
  }

 private:
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  bool set_ FERRY_GUARDED_BY(mutex_) = false;
};

/// A disk, whose threads stay from one input to the next.
struct Disk {
  explicit Disk(bool read_only) : storage(std::make_shared<FakeStorage>(kDisk, read_only)) {}

  std::shared_ptr<FakeStorage> storage;
  Block block{storage, [](const std::string&) {}};
};

}  // namespace

/// The input: what kind of disk it is, then what is in the guest's memory.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static vmm::GuestMemory memory(kRam);
  static Disk writable(false);
  static Disk read_only(true);
  if (size == 0) return 0;
  const std::uint8_t choices = *data;
  Disk& disk = (choices & 1) != 0 ? read_only : writable;
  disk.storage->forget_calls();
  disk.storage->at_hand = (choices & 2) == 0;
  disk.storage->failing = (choices & 4) != 0;
  disk.block.begin((choices & 8) != 0 ? 0 : Block::kFlush);
  const auto filled = memory.at({0}, kFilled);
  std::ranges::fill(filled, std::byte{0});
  std::memcpy(filled.data(), data + 1, std::min<std::size_t>(size - 1, filled.size()));
  vmm::EventFd notified;
  Taken taken;
  ServedQueue queue(Queue(memory, kState, (choices & 16) != 0), notified,
                    {.serve =
                         [&](ServedQueue& served) {
                           disk.block.serve(0, served);
                           taken.set();
                         },
                     .interrupt = [] {},
                     .broken = [](const std::string&) {}},
                    0U);
  queue.resume();
  taken.wait();
  return 0;
}
