#include "migration/policy/quiet_wait.hpp"

#include <algorithm>
#include <utility>

namespace migration {

namespace {

/// A shorter stop is worth a wait if it is a millisecond shorter, and takes half the time.
constexpr double kLeastGain = 0.001;
constexpr double kMostLeft = 0.5;
/// Of the time so far: for a guest that was seen to write by bursts, and for any other.
constexpr int kShareForBursts = 4;
constexpr int kShareForAny = 8;
/// As quiet as the guest is: not above so many times the low quantile. That is the width of a bin
/// and some more.
constexpr double kNearLow = 2;
/// A guest that left more than it was sent writes more and more pages, and not the same ones again.
constexpr double kDiverging = 1.1;
/// What has grown by so much since a stop would have fitted is not let grow any more.
constexpr double kGrown = 1.25;
constexpr double kMostNew = 0.5;

/// The first one after a round is shorter where the rest might not fit any more at the end of it.
constexpr std::chrono::milliseconds kShortestWindow{2};
/// What takes the writes out of the log may take this small a share of the time.
constexpr int kWatchShare = 20;

double in_seconds(QuietWait::Time time) { return std::chrono::duration<double>(time).count(); }

/// Whether a stop for `left_seconds` in place of `rest_seconds` is.
bool worth(double rest_seconds, double left_seconds) {
  return rest_seconds - left_seconds >= kLeastGain && left_seconds <= kMostLeft * rest_seconds;
}

}  // namespace

bool QuietWait::lasts(Time now, bool bursts) const {
  return now + window_ - began_ <= (began_ - start_) / (bursts ? kShareForBursts : kShareForAny);
}

bool QuietWait::begins(Time now, const Rest& rest) {
  if (!has_begun_) {
    has_begun_ = true;
    began_ = now;
    least_ = rest.seconds;
  }
  rest_ = watched_rest_ = rest.seconds;
  least_ = std::min(least_, rest.seconds);
  const Time least = std::max<Time>(kShortestWindow, kWatchShare * cost_);
  window_ = std::max<Time>(kWindow, least);
  if (rest.ratio > kDiverging) {
    const std::chrono::duration<double> still_fits((rest.most_seconds - rest.seconds) / rest.ratio);
    window_ = std::min(window_, std::chrono::duration_cast<Time>(still_fits));
  }
  return window_ >= least && worth(rest.seconds, rest.seconds * density_.low()) &&
         lasts(now, !density_.empty());
}

QuietWait::Verdict QuietWait::watched(const Window& window) {
  // A round that takes so long leaves `ratio` times as much, as long as the guest writes like that.
  const double length = std::max(in_seconds(window.to - window.from), 1e-6);
  const double ratio = window.written_seconds / length;
  density_.add(ratio);
  cost_ = window.cost;
  window_ = std::max<Time>(kWindow, kWatchShare * cost_);
  if (ratio <= kNearLow * density_.low() && worth(rest_, window.rest_seconds * ratio)) {
    return Verdict::round;
  }
  const double growth = window.rest_seconds - std::exchange(watched_rest_, window.rest_seconds);
  const bool bursts = kNearLow * density_.low() < ratio;
  const bool grown = window.rest_seconds > kGrown * least_;
  const bool fits_longer =
      window.rest_seconds + growth * in_seconds(window_) / length <= window.most_seconds;
  const bool headway = ratio < 1;
  if (headway && (grown || !fits_longer)) return Verdict::round;
  // What has grown will not much more where most of what the guest writes had to be sent before.
  const bool bounded = !grown || growth <= kMostNew * window.written_seconds;
  if (fits_longer && (bursts || bounded) && lasts(window.to, bursts)) return Verdict::goes_on;
  const bool fits = window.rest_seconds <= window.most_seconds;
  return fits && ratio > kMostLeft ? Verdict::stop : Verdict::round;
}

}  // namespace migration
