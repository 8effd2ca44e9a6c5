#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/virtio.hpp"

namespace guest {

/// Asks a virtio entropy device for random bytes again and again; two equal answers in a row end
/// the machine.
class Entropy {
 public:
  Entropy(Processor& cpu, MemoryMap& memory);

  /// Handles an answer, asks when that is due, and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

  std::uint64_t bytes() const { return bytes_; }

 private:
  static constexpr std::uint32_t kAnswerBytes = 64;

  void finish(std::uint32_t bytes);

  Virtio device_;
  std::uint64_t buffer_;
  std::uint8_t last_[kAnswerBytes] = {};
  std::uint32_t last_bytes_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t due_ = 0;
};

}  // namespace guest
