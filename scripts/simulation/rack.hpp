#pragma once

#include <cstddef>
#include <vector>

#include "migration/base/options.hpp"
#include "network.hpp"

namespace study {

/// A rack that has to be emptied: its hosts have links of 1 Gbit/s, and one uplink in common.
/// Beside it are as many hosts without a guest.
struct RackSetting {
  std::size_t hosts = 20;
  std::size_t guests = 8;  ///< at each host, of 1 GiB each
  double uplink_gbit = 10;
  migration::Mode mode = migration::Mode::automatic;
  /// Each host is drained as `ferry plan --drain` does it, which knows of no rack: guests may go to
  /// a neighbour.
  bool host_by_host = false;
  Cut cut;  ///< its patience is Ferry's
};

struct RackResult {
  double seconds = 0;          ///< until the last move has ended
  std::size_t late = 0;        ///< guests that are in the rack still after 5 minutes,
  std::size_t left = 0;        ///< and in the end
  double bytes = 0;            ///< that all moves sent,
  double vain_bytes = 0;       ///< and those sent by moves that were broken off
  std::size_t moves = 0;       ///< made
  std::size_t broken = 0;      ///< broken off by the cut
  std::size_t stood = 0;       ///< guests that stood still in the cut: they ran at a host that
                               ///< lacked pages of them
  double stop_seconds = 0;     ///< the longest, of moves
  std::vector<double> leaves;  ///< when the guests left the rack
};

[[nodiscard]] RackResult empty_rack(const RackSetting& setting);

}  // namespace study
