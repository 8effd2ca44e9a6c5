#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "migration/base/options.hpp"

namespace study {

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

/// `at_once`: they share the link from the start, as in the paper.
[[nodiscard]] Table1 table1(std::size_t guests, migration::Mode mode, bool reuse, bool at_once);

}  // namespace study
