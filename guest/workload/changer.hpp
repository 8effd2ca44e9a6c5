#pragma once

#include <cstdint>

#include "guest/io/command_line.hpp"
#include "guest/workload/page_set.hpp"
#include "guest/workload/selection.hpp"

namespace guest {

/// Writes once to so many pages, spread over all of its own, when vCPU 0 says so; else it is still.
class Changer {
 public:
  /// `share` is what vCPU `cpu` of `cpus` owns; they divide the pages to change among themselves.
  /// Fails the machine when there are fewer pages that are not zero.
  Changer(const Options& options, PageSet& pages, PageShare share, std::uint32_t cpu,
          std::uint32_t cpus);

  /// Does what is due at TSC time `now` and returns when to be called again.
  std::uint64_t step(std::uint64_t now);

 private:
  PageSet& pages_;
  PageShare share_;
  std::uint32_t cpu_;
  std::uint64_t writable_;  // pages of the share that are not zero
  std::uint64_t wanted_;    // how many of them a change writes to
  std::uint32_t change_ = 0;
  std::uint64_t next_ = 0;
  Selection selection_{0, 0, 0};
  Random random_;
};

/// What vCPU 0 does for all: it begins changes and tells when they are done.
class ChangeControl {
 public:
  ChangeControl(const Options& options, std::uint32_t cpus)
      : pages_(options.change_pages), cpus_(cpus) {}

  /// Another change, of other pages, on every vCPU. To be called after the last one is done.
  void begin();

  /// To be called again and again: prints the line of a change that is done on all vCPUs, once.
  void step();

 private:
  std::uint64_t pages_;
  std::uint32_t cpus_;
  bool told_ = true;
};

}  // namespace guest
