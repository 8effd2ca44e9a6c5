#pragma once

#include <cstdint>

#include "guest/workload/touch_pattern.hpp"

namespace guest {

/// The writes of a Dirtier.
struct WriteOptions {
  std::uint64_t writes_per_second = 0;
  std::uint64_t working_set_mib = 0;  ///< 0: all filled pages
  std::uint64_t working_set_at = 0;   ///< per cent of the pages that lie before it
  std::uint64_t skew_writes_percent = 0;
  std::uint64_t skew_pages_percent = 100;
  bool block = false;  ///< each of 64 bytes in one place
  std::uint64_t busy_ms = 0;
  std::uint64_t quiet_ms = 0;  ///< after so long without, by turns; 0: there are always writes
};

/// The reads of a Toucher.
struct TouchOptions {
  TouchOrder order = TouchOrder::none;
  std::uint64_t per_second = 0;  ///< 0: without pause
  std::uint64_t hot_percent = 90;
  std::uint64_t hot_parts = 8;  ///< the hot region is one of so many
  bool endless = false;

  bool wanted() const { return order != TouchOrder::none; }
};

/// What the command line asks for; docs/guest.md has the table. 0 and false mean "not asked for".
struct Options {
  std::uint64_t tick_ms = 0;
  std::uint64_t timer_hz = 0;
  std::uint64_t fill_mib = 0;
  std::uint64_t zero_percent = 30;
  std::uint64_t random_percent = 20;
  std::uint64_t copies_percent = 0;  // of the pages: filled as another one is
  std::uint64_t text_percent = 50;
  WriteOptions dirty;
  TouchOptions touch;
  std::uint64_t change_pages = 0;
  std::uint64_t disk_blocks = 0;
  std::uint64_t disk_reads = 0;  ///< at a time; 0: blocks are written, and checked as they are read
  std::uint64_t disk_read_kib = 4;
  bool entropy = false;
  std::uint64_t frames_per_second = 0;
  std::uint64_t frame_bytes = 0;  ///< of frames that are sent without pause
  bool counts_frames = false;     ///< those that come without pause
  std::uint64_t hints_mib = 0;
  bool check = false;
  std::uint64_t check_pages_per_second = 0;  ///< 0: without pause
  bool registers = false;
  bool echo = false;
  bool receive_interrupts = false;
  bool spin = false;
  std::uint64_t end_after_ms = 0;
  std::uint64_t end_after_ticks = 0;
  bool end_on_byte = false;

  bool measures_frames() const { return frame_bytes != 0 || counts_frames; }

  bool any_workload() const {
    return tick_ms != 0 || timer_hz != 0 || fill_mib != 0 || registers || echo ||
           disk_blocks != 0 || entropy || frames_per_second != 0 || measures_frames() ||
           hints_mib != 0 || end_after_ms != 0 || end_on_byte;
  }
};

/// Parses `text`; on an unknown or malformed option it fails the machine, naming the option.
Options parse_command_line(const char* text);

}  // namespace guest
