#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace migration::handover {

/// What is known when the guest stops. Rates in bytes per second; 0: not known.
struct StopNeeds {
  std::uint64_t bytes_left = 0;    ///< to send: pages and state
  double cap = 0;                  ///< that the user has set
  double measured = 0;             ///< that the link carried while the guest ran
  std::uint64_t verify_bytes = 0;  ///< that both sides digest; 0 without `--verify`
  double verify_rate = 0;          ///< at which one side does
  std::chrono::milliseconds timeout{10'000};
};

/// How long the guest may stand, at most, before its source goes on here: three times what the
/// bytes left need, and verifying, and the timeout. None while no rate is known.
[[nodiscard]] std::optional<std::chrono::milliseconds> stop_bound(const StopNeeds& needs);

/// Until when the source waits for `landed` and `prepared`: for a timeout since something last
/// moved, never beyond the bound. A link of which nothing is known is measured by what moves in the
/// first timeout of the stop (stop-and-copy over a slow link). What it carries later does not
/// extend the bound, or a peer that lets one byte through now and then would have the guest stand
/// for ever.
class StopDeadline {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// `sent`: bytes that had been sent before what is left, in this migration.
  StopDeadline(const StopNeeds& needs, TimePoint stopped, std::uint64_t sent = 0);

  /// So many bytes have been sent by now.
  void progress(std::uint64_t sent, TimePoint now);
  /// When the source goes on here if nothing more moves. Only grows, and not beyond the bound.
  [[nodiscard]] TimePoint deadline() const;

 private:
  StopNeeds needs_;
  TimePoint stopped_;
  TimePoint moved_;  ///< last
  std::uint64_t sent_before_;
  std::uint64_t sent_;
  std::optional<std::chrono::milliseconds> bound_;
};

}  // namespace migration::handover
