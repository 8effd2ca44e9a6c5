#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/io/virtio.hpp"
#include "guest/workload/block_request.hpp"
#include "guest/workload/random.hpp"

namespace guest {

/// Reads from a virtio disk in random order, so many requests at a time and without pause, and
/// tells how many; for measuring. What it reads is not looked at.
class DiskReader {
 public:
  /// Takes the memory that it needs; fails the machine where there is no disk of that size.
  DiskReader(const Options& options, Processor& cpu, MemoryMap& memory);

  /// Handles the answers that have come, asks for more, and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

 private:
  void finish(const VirtioAnswer& answer);
  void begin(std::uint32_t slot);
  void report(std::uint64_t now);
  BlockRequest& request(std::uint32_t slot) const;

  std::uint32_t depth_;
  std::uint32_t bytes_;  // of a request
  std::uint64_t places_;
  Virtio device_;
  std::uint64_t buffers_ = 0;
  Random random_{1};
  std::uint64_t reads_ = 0;
  std::uint64_t report_due_ = 0;
};

}  // namespace guest
