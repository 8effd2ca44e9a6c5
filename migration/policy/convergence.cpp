#include "migration/policy/convergence.hpp"

#include <algorithm>

namespace migration {

namespace {

// A round of pre-copy that leaves more than this share of what it sent makes no real headway.
constexpr double kRoundHeadway = 0.7;
// One more round although the stop already fits: it must take off at least half of what the pages
// cost the stop, and a millisecond; and last no longer than this.
constexpr double kWorthShare = 0.5;
constexpr double kWorthGain = 0.001;
constexpr double kWorthCost = 0.030;

// The steps by which a guest that does not converge is slowed.
constexpr unsigned kFirstThrottle = 20;
constexpr unsigned kThrottleStep = 15;
constexpr unsigned kMostThrottle = 95;

}  // namespace

Decision decide(const ConvergenceInput& input) {
  const double pages_seconds = input.remaining_bytes / input.bytes_per_second;
  const double lambda = input.dirty_bytes_per_second / input.bytes_per_second;

  Decision decision;
  decision.throttle = input.throttle;
  decision.downtime_seconds =
      input.fixed_seconds + pages_seconds + input.state_bytes / input.bytes_per_second;

  if (input.rounds >= input.max_rounds) {
    const bool post_copy =
        input.may_switch && decision.downtime_seconds > input.max_downtime_seconds;
    decision.step = post_copy ? Step::post_copy : Step::stop;
    decision.why = post_copy ? Why::never_fits : Why::out_of_rounds;
    return decision;
  }
  if (decision.downtime_seconds <= input.max_downtime_seconds) {
    const double gain = pages_seconds * (1 - lambda);
    const bool worth =
        gain >= kWorthGain && gain >= kWorthShare * pages_seconds && pages_seconds <= kWorthCost;
    decision.step = worth ? Step::next_round : Step::stop;
    decision.why = worth ? Why::worth_a_round : Why::fits;
    return decision;
  }
  if (lambda > kRoundHeadway) {
    decision.why = Why::diverging;
    if (input.may_throttle && input.throttle < kMostThrottle) {
      decision.step = Step::throttle;
      decision.throttle = input.throttle == 0
                              ? kFirstThrottle
                              : std::min(kMostThrottle, input.throttle + kThrottleStep);
    }
  }
  return decision;
}

}  // namespace migration
