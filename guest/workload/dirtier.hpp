#pragma once

#include <cstdint>

#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/workload/page_set.hpp"

namespace guest {

/// Writes to random pages of a working set, at a given rate.
class Dirtier {
 public:
  /// `cpus` vCPUs divide rate and working set among themselves; `share` is this one's.
  Dirtier(const WriteOptions& options, PageSet& pages, PageShare share, std::uint32_t cpus,
          Progress& progress);

  /// Does what is due at TSC time `now` and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

 private:
  std::uint64_t pick();

  PageSet& pages_;
  Progress& progress_;
  Random random_;
  std::uint64_t start_;
  std::uint64_t interval_;  // between two writes, in 1/1024 of a TSC cycle
  std::uint64_t due_ = 0;   // when to write next, likewise, counted from start_
  std::uint64_t busy_;      // TSC cycles with writes,
  std::uint64_t cycle_;     // of so many; 0: always
  std::uint64_t begin_;
  std::uint64_t size_;      // pages, zero ones included
  std::uint64_t hot_size_;  // the first of them, for the skewed share of the writes
  std::uint64_t hot_percent_;
};

}  // namespace guest
