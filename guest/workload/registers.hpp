#pragma once

#include <cstdint>

#include "guest/cpu/processor.hpp"
#include "guest/workload/register_image.hpp"

namespace guest {

/// Keeps known values in every register of one vCPU and reports the first that changed.
class Registers {
 public:
  explicit Registers(Processor& cpu);

  /// Loads new values, holds them for some tens of microseconds, and compares; now and then the
  /// privileged registers too, whose values stay.
  void step(std::uint64_t now);

 private:
  void set_privileged();
  void check_privileged() const;
  [[noreturn]] void report(const RegisterChange& change) const;

  static constexpr int kMostControls = 16;
  static constexpr int kMostMsrs = 16;

  Processor& cpu_;
  Random random_;
  RegisterLayout layout_;
  RegisterImage& want_;
  RegisterImage& got_;
  std::uint64_t fs_target_;
  std::uint64_t gs_target_;
  bool selectors_kept_;  // DS and ES are the guest's own
  std::uint64_t control_[kMostControls] = {};
  std::uint64_t msr_[kMostMsrs] = {};
  std::uint64_t privileged_due_ = 0;
};

}  // namespace guest
