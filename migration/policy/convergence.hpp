#pragma once

#include <cstdint>

namespace migration {

/// What is known when a round of pre-copy has landed.
struct ConvergenceInput {
  unsigned rounds = 0;                ///< landed so far
  double remaining_bytes = 0;         ///< on the wire, for what is dirty now
  double state_bytes = 0;             ///< of CPUs and devices
  double bytes_per_second = 1;        ///< that the link carries, measured
  double dirty_bytes_per_second = 0;  ///< on the wire, for what the guest wrote during the round
  double fixed_seconds = 0;  ///< of the stop, whatever remains: pause, save, restore, commit
  double max_downtime_seconds = 0;
  unsigned max_rounds = 1;
  bool may_throttle = false;
  unsigned throttle = 0;    ///< per cent in force
  bool may_switch = false;  ///< to post-copy
};

enum class Step {
  next_round,
  watch,      ///< let the guest write, and look how much it does
  throttle,   ///< slow the guest to `throttle` per cent, then a round
  stop,       ///< stop the guest and send the rest
  post_copy,  ///< stop the guest, and send the rest while it runs at the destination
};

enum class Why {
  downtime_too_long,  ///< the stop would not fit yet
  diverging,          ///< and the guest writes about as fast as the link carries
  worth_a_round,      ///< it fits, but one cheap round more shortens it much
  fits,
  out_of_rounds,
  never_fits,  ///< out of rounds, and the stop would be too long
};

struct Decision {
  Step step = Step::next_round;
  Why why = Why::downtime_too_long;
  unsigned throttle = 0;
  double downtime_seconds = 0;  ///< predicted, if the guest were stopped now
};

/// Whether pre-copy goes on. With lambda = dirty rate / bandwidth, a round of V bytes leaves
/// lambda V for the next (Liu et al. 2011, "Performance and energy modeling for live migration of
/// virtual machines", section 4); the stop costs the rest and the state at the measured rate.
[[nodiscard]] Decision decide(const ConvergenceInput& input);

}  // namespace migration
