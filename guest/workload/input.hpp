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

  /// Whether a byte came since the last call that asks for a pass of reads, or for a report of it.
  bool take_touch_request() { return taken(touch_requested_); }
  bool take_report_request() { return taken(report_requested_); }

  /// Whether a byte came since the last call that asks for a change of pages.
  bool take_change_request() { return taken(change_requested_); }

  std::uint64_t count() const { return count_; }

 private:
  /// Takes what is there, up to a bound; returns how many bytes.
  int take_some();
  void take(std::uint8_t byte);

  static bool taken(bool& request) {
    const bool was = request;
    request = false;
    return was;
  }

  Processor& cpu_;
  bool wanted_;
  bool interrupts_;
  bool echo_;
  bool end_on_byte_;
  bool touch_;
  bool change_;
  bool end_requested_ = false;
  bool touch_requested_ = false;
  bool report_requested_ = false;
  bool change_requested_ = false;
  bool more_ = false;  ///< the last step left off at its bound
  std::uint64_t due_ = 0;
  std::uint64_t interrupts_seen_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint32_t hash_;
};

}  // namespace guest
