#pragma once

#include <cstdint>

#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"

namespace guest {

/// The receiving side of the serial port.
class Input {
 public:
  Input(const Options& options, Processor& cpu);

  /// Takes what has arrived and returns when to look again.
  std::uint64_t step(std::uint64_t now);

  /// Whether the byte that ends the machine came.
  bool end_requested() const { return end_requested_; }

  std::uint64_t count() const { return count_; }

 private:
  void take(std::uint8_t byte);

  Processor& cpu_;
  bool wanted_;
  bool interrupts_;
  bool echo_;
  bool end_on_byte_;
  bool end_requested_ = false;
  std::uint64_t due_ = 0;
  std::uint64_t interrupts_seen_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint32_t hash_;
};

}  // namespace guest
