#pragma once

#include <optional>

#include "migration/base/options.hpp"
#include "migration/forecast/guest_sample.hpp"

namespace migration::forecast {

/// A channel that sends pages.
struct Sending {
  double link = 0;  ///< bytes per second that it may carry
  double cap = 0;   ///< its part of what is asked for; 0: no cap
  /// Share of the speed of packing that is left to it.
  double speed = 1;
};

/// How pages that shrink would go, by what CompressionPolicy decides from what a sender measures
/// first; nullopt: as they are. `shrinking`: their share of those that are not zero.
[[nodiscard]] std::optional<Packing> packing_for(const GuestSample& sample, double shrinking,
                                                 const Sending& sending, Compression wanted);

}  // namespace migration::forecast
