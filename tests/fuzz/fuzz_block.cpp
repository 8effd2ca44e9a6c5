/// Feeds the block device with a driver that puts what it likes into its queue. The fake disk ends
/// the process when it is asked for what it has not; AddressSanitizer sees what is reached outside
/// of the guest's memory.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "devices/virtio/block.hpp"
#include "tests/devices/storage/fake_storage.hpp"
#include "tests/fuzz/one_queue.hpp"

namespace {

using devices::storage::FakeStorage;
using devices::virtio::Block;

constexpr std::uint64_t kRam = std::uint64_t{16} << 20;
constexpr std::uint64_t kDisk = std::uint64_t{64} << 10;

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
  const auto filled = memory.at({0}, devices::virtio::kFilled);
  std::ranges::fill(filled, std::byte{0});
  std::memcpy(filled.data(), data + 1, std::min<std::size_t>(size - 1, filled.size()));
  devices::virtio::serve_one(disk.block, 0, memory, (choices & 16) != 0);
  return 0;
}
