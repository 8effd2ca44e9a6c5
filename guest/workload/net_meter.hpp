#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/workload/net_device.hpp"

namespace guest {

/// Sends frames without pause, or counts those that come, and tells how many; for measuring. What
/// comes is not looked at. Of each kCredit that came it sends word, a short frame, so that somebody
/// who waits for it never sends more than there is room for.
class NetMeter {
 public:
  static constexpr std::uint32_t kCredit = 32;

  NetMeter(const Options& options, Processor& cpu, MemoryMap& memory);

  /// Handles what has come and was sent, sends more, and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

 private:
  void send(const NetFrame* frame, std::uint32_t bytes);
  void report(std::uint64_t now);

  bool sends_;
  std::uint32_t bytes_;
  NetDevice device_;
  std::uint64_t begun_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t came_ = 0;
  std::uint64_t report_due_ = 0;
};

}  // namespace guest
