#pragma once

#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// Where the time of the thread that made it goes.
class ThreadTime {
 public:
  ThreadTime();

  /// Seconds since the thread began.
  struct Spent {
    double ran = 0;     ///< on a processor
    double waited = 0;  ///< for a processor; 0 where the kernel does not count it
  };
  /// To be called by that thread. Costs a few microseconds.
  [[nodiscard]] Spent spent() const;

 private:
  UniqueFd statistics_;
};

}  // namespace vmm
