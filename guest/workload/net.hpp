#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/workload/net_device.hpp"

namespace guest {

/// Sends numbered frames on a virtio network device, and checks those that somebody there sends
/// back: each is whole, and none comes twice or behind a later one, or the machine ends.
class Net {
 public:
  /// Fails the machine where there is no such device.
  Net(const Options& options, Processor& cpu, MemoryMap& memory);

  /// Handles the frames that have come, sends the one that is due, and returns when to be called
  /// again.
  std::uint64_t step(std::uint64_t now);

  std::uint64_t sent() const { return sent_; }
  std::uint64_t came() const { return came_; }
  /// Of those before the last that came: the ones that did not.
  std::uint64_t lost() const { return next_ - came_; }

 private:
  static constexpr std::uint32_t kSlots = 16;

  void check(const NetFrame& frame, std::uint32_t bytes);
  void send();

  NetDevice device_;
  std::uint64_t period_;
  std::uint64_t due_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t came_ = 0;
  std::uint64_t next_ = 0;  // the least number that may come
};

}  // namespace guest
