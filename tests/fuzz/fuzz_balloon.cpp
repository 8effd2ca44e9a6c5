/// Feeds the balloon with a driver that puts what it likes into its queues and its configuration.
/// AddressSanitizer sees what is reached outside of the guest's memory.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "devices/virtio/balloon.hpp"
#include "devices/virtio/queue.hpp"
#include "devices/virtio/served_queue.hpp"
#include "tests/devices/fake_host.hpp"
#include "vmm/os/event_fd.hpp"
#include "vmm/os/mutex.hpp"

namespace {

using devices::virtio::Balloon;
using devices::virtio::Queue;
using devices::virtio::QueueState;
using devices::virtio::ServedQueue;

constexpr unsigned kQueues = 3;
/// What the input fills: a small part of RAM, so that addresses meet what they point to.
constexpr std::uint64_t kFilled = 0x4000;
constexpr QueueState kState{
    .size = 8, .descriptors = 0, .driver_area = 0x80, .device_area = 0xa0, .next_available = 0};
/// A queue that lies in its requests' memory may bring requests without end, and one that is given
/// back brings none.
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

/// What is taken is saved again as it was.
void load(Balloon& balloon, std::span<const std::byte> bytes) {
  try {
    vmm::ByteReader<std::invalid_argument> from(bytes, "a balloon");
    balloon.load(from);
    std::vector<std::byte> saved;
    vmm::ByteWriter out(saved);
    balloon.save(out);
    if (!std::ranges::equal(saved, bytes.first(saved.size()))) std::abort();
  } catch (const std::invalid_argument&) {
    // Refused, with a reason.
  }
}

}  // namespace

/// The input: which queue, what is agreed on and where the driver configures; then what is in the
/// guest's memory.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static devices::FakeHost host;
  if (size < 3) return 0;
  const std::uint8_t choices = data[0];
  Balloon balloon(true);
  balloon.attach(host, [] {});
  balloon.begin(((choices & 4) != 0 ? Balloon::kReporting : 0) |
                ((choices & 8) != 0 ? Balloon::kPagePoison : 0));
  const auto input = std::as_bytes(std::span(data + 3, size - 3));
  load(balloon, input);
  balloon.write_config(data[1], input.first(std::min<std::size_t>(input.size(), data[2])));
  if (balloon.config().size() != 16) std::abort();
  const auto filled = host.ram.at({0}, kFilled);
  std::ranges::fill(filled, std::byte{0});
  std::ranges::copy(input.first(std::min(input.size(), filled.size())), filled.begin());
  vmm::EventFd notified;
  Taken taken;
  ServedQueue queue(Queue(host.ram, kState, (choices & 16) != 0), notified,
                    {.serve =
                         [&](ServedQueue& served) {
                           balloon.serve(choices % kQueues, served);
                           taken.set();
                         },
                     .interrupt = [] {},
                     .broken = [](const std::string&) {}},
                    0U);
  queue.resume();
  taken.wait();
  return 0;
}
