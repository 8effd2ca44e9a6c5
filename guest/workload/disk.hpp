#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/io/virtio.hpp"
#include "guest/workload/block_request.hpp"
#include "guest/workload/page.hpp"

namespace guest {

/// Writes blocks of 4 KiB to a virtio disk and reads back those that it wrote, in random order and
/// without pause; the first block that is wrong ends the machine.
class Disk {
 public:
  /// Takes the memory that it needs; fails the machine where there is no disk of that size.
  Disk(const Options& options, Processor& cpu, MemoryMap& memory);

  /// Handles the answers that have come, asks for more, and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

  std::uint64_t writes() const { return writes_; }
  std::uint64_t reads() const { return reads_; }

 private:
  static constexpr std::uint32_t kDepth = 8;

  using Kind = BlockRequest::Kind;
  struct Wanted {
    Kind kind = Kind::read;
    std::uint64_t block = 0;
  };

  void finish(const VirtioAnswer& answer);
  void begin(std::uint32_t slot);
  bool in_use(std::uint64_t block) const;
  void post(std::uint32_t slot, Wanted wanted);
  [[noreturn]] void report(std::uint64_t block, const PageVerdict& verdict) const;

  std::uint64_t data(std::uint32_t slot) const;
  BlockRequest& request(std::uint32_t slot) const;

  Virtio device_;
  std::uint64_t blocks_;
  std::uint64_t buffers_ = 0;
  std::uint32_t* generations_ = nullptr;  // of each block; 0: not written yet
  Wanted wanted_[kDepth];
  Random random_{1};
  std::uint64_t writes_ = 0;
  std::uint64_t reads_ = 0;
  std::uint64_t flush_due_ = 0;  // after so many writes
};

}  // namespace guest
