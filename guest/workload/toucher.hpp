#pragma once

#include <cstdint>

#include "guest/io/command_line.hpp"
#include "guest/workload/page_set.hpp"
#include "guest/workload/touch_pattern.hpp"

namespace guest {

/// Reads pages and measures how long each read takes. It reads in passes: as many reads as there
/// are pages, or without end. A pass begins when vCPU 0 says so.
class Toucher {
 public:
  /// `share` is what vCPU `cpu` of `cpus` reads; the rate is divided among them.
  Toucher(const TouchOptions& options, PageSet& pages, PageShare share, std::uint32_t cpu,
          std::uint32_t cpus);

  /// Does what is due at TSC time `now` and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

 private:
  void begin_pass(std::uint32_t pass, std::uint64_t now);
  std::uint64_t read_one(std::uint64_t now);

  PageSet& pages_;
  TouchPattern pattern_;
  std::uint32_t cpu_;
  std::uint64_t reads_per_pass_;  // 0: no end
  std::uint64_t interval_;        // between two reads, in TSC cycles; 0: none
  std::uint64_t due_ = 0;         // when to read next
  std::uint64_t left_ = 0;        // reads of this pass
  std::uint32_t pass_ = 0;
  bool busy_ = false;
};

/// What vCPU 0 does for all: it begins passes and tells how they went.
class TouchControl {
 public:
  explicit TouchControl(std::uint32_t cpus) : cpus_(cpus) {}

  /// Another pass, on every vCPU; one that is under way is forgotten.
  void begin_pass();

  /// Prints a line about the pass so far.
  void report() const { print_pass(false); }

  /// To be called again and again: prints the line of a pass that has ended on all vCPUs, once.
  void step();

 private:
  void print_pass(bool done) const;

  std::uint32_t cpus_;
  bool told_ = true;
};

}  // namespace guest
