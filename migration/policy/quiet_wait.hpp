#pragma once

#include <chrono>

#include "migration/policy/write_density.hpp"

namespace migration {

/// Decides, where a stop would fit, whether to wait for a moment at which the guest writes less
/// (pure). A guest that writes by bursts to a set of pages that fits the downtime leaves all of
/// that set to the stop within a burst, and next to nothing between two.
///
/// While it waits the guest is watched, window by window: what it writes is taken out of the dirty
/// log, and nothing is sent. The windows make its WriteDensity. A round brings what was written,
/// and then the stop, once a window is among the quiet ones of these and the round would leave half
/// of what the first stop that fitted would have left.
///
/// All of it may take a part of the time that the migration took before; a round that was begun
/// within that may end after it. That part is smaller where all windows are alike. And a stop that
/// fits is not given away: where the rest grows faster than it could be sent, the guest is stopped
/// while it still fits.
class QuietWait {
 public:
  using Time = std::chrono::nanoseconds;

  /// The migration sent its first page at `start`.
  explicit QuietWait(Time start) : start_(start) {}

  struct Rest {
    double seconds = 0;       ///< that it takes at a stop
    double most_seconds = 0;  ///< that it may take
    double ratio = 0;         ///< what the guest wrote in the round, in units of what was sent
  };
  /// A round has landed, and a stop would fit. Whether to watch the guest, and not to stop it.
  [[nodiscard]] bool begins(Time now, const Rest& rest);

  /// How long the guest is watched until its writes are taken out of the log.
  [[nodiscard]] Time window() const { return window_; }

  struct Window {
    Time from{}, to{};
    Time cost{};                 ///< what taking the writes out took; a small share of the time may
    double written_seconds = 0;  ///< that what was written within it takes on the link
    double rest_seconds = 0;     ///< that all that must be sent by now does
    double most_seconds = 0;     ///< that this may take at a stop
  };
  enum class Verdict {
    goes_on,  ///< another window
    round,    ///< send what must be sent, while the guest runs
    stop,     ///< the guest
  };
  [[nodiscard]] Verdict watched(const Window& window);

 private:
  [[nodiscard]] bool lasts(Time now, bool bursts) const;

  static constexpr std::chrono::milliseconds kWindow{10};
  const Time start_;
  Time began_{};  ///< when a stop first fitted
  bool has_begun_ = false;
  Time cost_{};
  Time window_{kWindow};
  double least_ = 0;         ///< seconds that the rest took at a round's end, at best
  double rest_ = 0;          ///< the same, at the end of the newest one
  double watched_rest_ = 0;  ///< the same, or at the end of the newest window
  WriteDensity density_;     ///< in all windows so far
};

}  // namespace migration
