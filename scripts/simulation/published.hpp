#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "placement/fleet.hpp"

namespace study {

// The setting of the study to which the field compares: Beloglazov and Buyya 2012, section 6.

inline constexpr double kInterval = 300;  ///< seconds from one sample to the next
inline constexpr std::size_t kHosts = 800;

/// Per cent of the CPU of one VM, in the order of time.
using Trace = std::vector<double>;

/// Lines of numbers with commas between them, one line for each VM: std::runtime_error that says
/// which line is none, or has another length than the first.
[[nodiscard]] std::vector<Trace> read_traces(std::istream& input);

struct Setting {
  std::size_t hosts = kHosts;
  std::size_t repeat = 1;
  /// A VM that runs has its memory on its host. In the published setting it has none: its workload
  /// is given a use of memory of zero.
  bool memory_counts = false;
};

/// Hosts of two kinds in turn, and VMs of four kinds in blocks, each where it is put as it starts:
/// by power-aware best fit of all that it asks for, when every host is idle still. The traces are
/// taken `repeat` times, each time with hosts of its own.
[[nodiscard]] placement::Fleet make_fleet(const Setting& setting, std::size_t traces);

}  // namespace study
