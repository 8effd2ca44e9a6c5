#include "migration/handover/stop_bound.hpp"

#include <algorithm>

namespace migration::handover {

namespace {

using std::chrono::milliseconds;

constexpr double kPatience = 3;
constexpr double kMillisecondsPerSecond = 1000;
/// No stop is meant to last longer, and a time that is added to a clock must not overflow it.
constexpr double kLongest = 1000.0 * 60 * 60 * 24 * 365;

double milliseconds_for(double bytes, double rate) {
  return bytes <= 0 ? 0 : std::min(kMillisecondsPerSecond * bytes / rate, kLongest);
}

}  // namespace

std::optional<milliseconds> stop_bound(const StopNeeds& needs) {
  const bool capped = needs.cap > 0;
  if (!capped && needs.measured <= 0) return std::nullopt;
  const double rate = capped && needs.measured > 0 ? std::min(needs.cap, needs.measured)
                                                   : std::max(needs.cap, needs.measured);
  double bound = kPatience * milliseconds_for(static_cast<double>(needs.bytes_left), rate);
  if (needs.verify_rate > 0) {
    // The source digests while it sends, then the destination does.
    bound += 2 * milliseconds_for(static_cast<double>(needs.verify_bytes), needs.verify_rate);
  }
  return milliseconds(static_cast<std::int64_t>(std::min(bound, kLongest))) + needs.timeout;
}

StopDeadline::StopDeadline(const StopNeeds& needs, TimePoint stopped, std::uint64_t sent)
    : needs_(needs),
      stopped_(stopped),
      moved_(stopped),
      sent_before_(sent),
      sent_(sent),
      bound_(stop_bound(needs)) {}

void StopDeadline::progress(std::uint64_t sent, TimePoint now) {
  if (sent <= sent_ || now < moved_) return;
  sent_ = sent;
  moved_ = now;
  if (bound_ || now < stopped_ + needs_.timeout) return;
  needs_.measured = static_cast<double>(sent_ - sent_before_) /
                    std::chrono::duration<double>(now - stopped_).count();
  bound_ = stop_bound(needs_);
}

StopDeadline::TimePoint StopDeadline::deadline() const {
  const TimePoint quiet = moved_ + needs_.timeout;
  return bound_ ? std::min(quiet, stopped_ + *bound_) : quiet;
}

}  // namespace migration::handover
