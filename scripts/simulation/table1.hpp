#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "migration/base/options.hpp"
#include "placement/fleet.hpp"

namespace study {

constexpr double kTable1Link = 1e9 / 8;  ///< bytes per second
/// What each of the paper's 15 guests had, and what they changed.
constexpr std::uint64_t kTable1GuestBytes = 125 << 20;
constexpr double kTable1DirtyPages = 500;
constexpr double kTable1DirtyBytes = kTable1DirtyPages * 4096;  ///< per second

/// The paper's Table 1 at any size: guests move from host A to host B over one link of 1 Gbit/s,
/// one after the other, and come back: with reuse to images that have changed as placement::cost_of
/// says.
struct Table1 {
  double there_bytes = 0;
  double there_seconds = 0;
  double back_bytes = 0;
  double back_seconds = 0;
  double stop_seconds = 0;  ///< of the one that stood longest
};

/// A and B, each with memory and a core for each guest.
[[nodiscard]] std::vector<placement::Host> table1_hosts(std::size_t guests);
/// `at_once`: they share the link from the start, as in the paper.
[[nodiscard]] Table1 table1(std::size_t guests, migration::Mode mode, bool reuse, bool at_once);

}  // namespace study
