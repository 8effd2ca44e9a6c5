/// Feeds the device's side of a virtqueue with a driver that does what it likes. It may need a
/// reset, and no more; AddressSanitizer sees what is reached outside of the guest's memory.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "devices/virtio/queue.hpp"

namespace {

using devices::virtio::Queue;
using devices::virtio::QueueError;
using devices::virtio::QueueState;
using devices::virtio::Request;

constexpr std::uint64_t kRam = std::uint64_t{16} << 20;
/// What the input fills: a small part of RAM, so that addresses meet what they point to.
constexpr std::uint64_t kFilled = 0x4000;
constexpr int kSteps = 64;

/// A device that reads and writes all of its requests, and keeps some of them for a while.
void serve(Queue& queue, std::uint8_t choices) {
  std::vector<Request> kept;
  for (int step = 0; step < kSteps; ++step) {
    std::optional<Request> request = queue.take();
    if (!request) break;
    std::uint32_t sum = 0;
    for (const auto& segment : request->readable) {
      sum +=
          static_cast<std::uint32_t>(segment.front()) ^ static_cast<std::uint32_t>(segment.back());
    }
    std::uint32_t written = 0;
    for (const auto& segment : request->writable) {
      segment.front() = segment.back() = static_cast<std::byte>(sum);
      written += static_cast<std::uint32_t>(segment.size());
    }
    if ((choices & 1) != 0) {
      kept.push_back(std::move(*request));
    } else {
      queue.complete(*request, written);
    }
    static_cast<void>(queue.wants_interrupt());
    static_cast<void>(queue.await_notification());
    if ((choices & 2) != 0) queue.look_by_itself();
  }
  for (const Request& request : kept) queue.complete(request, 0);
}

}  // namespace

/// The input: where the queue is and how far, then what is in the guest's memory.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static vmm::GuestMemory memory(kRam);
  QueueState state;
  std::uint8_t choices = 0;
  const std::size_t head = sizeof(choices) + 2 + 3 * sizeof(std::uint16_t) + 2 + 2;
  if (size < head) return 0;
  const auto next = [&data]<typename Number>(Number& number) {
    std::memcpy(&number, data, sizeof(number));
    data += sizeof(number);
  };
  next(choices);
  next(state.size);
  std::uint16_t place = 0;
  for (std::uint64_t* address : {&state.descriptors, &state.driver_area, &state.device_area}) {
    next(place);
    *address = place;
  }
  next(state.next_available);
  next(state.next_used);
  const auto filled = memory.at({0}, kFilled);
  std::ranges::fill(filled, std::byte{0});
  std::memcpy(filled.data(), data, std::min<std::size_t>(size - head, filled.size()));
  try {
    Queue queue(memory, state, (choices & 4) != 0);
    serve(queue, choices);
  } catch (const QueueError&) {
    // The device needs a reset.
  }
  return 0;
}
