#pragma once

#include <cstdint>

#include "guest/cpu/processor.hpp"
#include "guest/io/command_line.hpp"
#include "guest/workload/page_set.hpp"

namespace guest {

/// Walks a share of the pages again and again; the first page that is wrong ends the machine.
class Checker {
 public:
  Checker(const Options& options, const PageSet& pages, PageShare share, std::uint32_t cpus,
          Progress& progress);

  /// Checks a few pages and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

 private:
  const PageSet& pages_;
  PageShare share_;
  Progress& progress_;
  std::uint64_t next_;
  std::uint64_t pause_;  // after each step, in TSC cycles
  std::uint64_t due_ = 0;
};

}  // namespace guest
