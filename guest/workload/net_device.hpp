#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/virtio.hpp"

namespace guest {

/// A numbered frame, as it lies in a buffer of a virtio network device (virtio 1.2, section 5.1.6).
struct NetFrame {
  static constexpr std::uint32_t kBuffer = 2048;
  static constexpr std::uint32_t kHeader = 12;    ///< before the frame itself, whose bytes are:
  static constexpr std::uint32_t kNumbered = 22;  ///< those before the content
  static constexpr std::uint32_t kLeast = 60;
  static constexpr std::uint32_t kMost = 1514;

  std::uint8_t header[kHeader];
  std::uint8_t to[6];
  std::uint8_t from[6];
  std::uint8_t type[2];
  std::uint8_t number_bytes[8];
  std::uint8_t content[kBuffer - kHeader - kNumbered];

  std::uint64_t number() const;
};
static_assert(sizeof(NetFrame) == NetFrame::kBuffer);

/// A virtio network device, with a buffer for each slot of its two queues. Its frames are of the
/// Ethernet type for experiments, from its address to everybody; others are not looked at.
class NetDevice {
 public:
  /// Fails the machine where there is no such device.
  NetDevice(std::uint32_t slots, Processor& cpu, MemoryMap& memory);

  void look(std::uint64_t now) { device_.look(now); }
  std::uint64_t next_look(std::uint64_t now) const { return device_.next_look(now); }

  /// Hands each frame that has come to this address to `handle(frame, bytes)`.
  template <typename Handle>
  void receive(Handle handle) {
    for (VirtioAnswer answer; device_.take(answer, kReceive);) {
      if (is_ours(answer)) {
        handle(frame(kReceive, answer.slot), answer.bytes - NetFrame::kHeader);
      }
      offer(answer.slot);
    }
    device_.notify(kReceive);
  }

  /// Takes back the buffers that were sent; returns how many.
  std::uint32_t take_sent();
  /// A frame to be written and sent, or none while all are under way.
  NetFrame* begin(std::uint64_t number);
  /// Sends so many bytes of it; notify_sent() tells the device of all of them.
  void send(const NetFrame* frame, std::uint32_t bytes);
  void notify_sent() { device_.notify(kSend); }

 private:
  static constexpr std::uint32_t kReceive = 0;  // the queues
  static constexpr std::uint32_t kSend = 1;

  bool is_ours(const VirtioAnswer& answer) const;
  void offer(std::uint32_t slot);
  NetFrame& frame(std::uint32_t queue, std::uint32_t slot) const;

  std::uint32_t slots_;
  Virtio device_;
  std::uint64_t buffers_ = 0;
  std::uint8_t address_[6] = {};
};

}  // namespace guest
