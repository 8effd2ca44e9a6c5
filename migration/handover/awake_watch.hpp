#pragma once

#include <chrono>

namespace migration::handover {

/// Finds out that this process did nothing for long: it was stopped, or its host slept. The times
/// are of a clock that goes on meanwhile (CLOCK_BOOTTIME).
///
/// What is read after such a gap may have waited here since before it, and its sender may have
/// decided otherwise since. A host that is paused whole, its clocks with it, finds no gap: nobody
/// in it can.
class AwakeWatch {
 public:
  using Time = std::chrono::nanoseconds;

  /// To be made when the destination has become prepared: what comes before that starts nothing,
  /// and loading may take long. `limit`: the shorter of both sides' timeouts, since the peer gives
  /// up by its own.
  AwakeWatch(Time limit, Time now) : limit_(limit), awake_(now) {}

  /// Called by whoever is about to read, and a few times per limit when nothing comes. True once
  /// for each gap: before what was waiting is read.
  [[nodiscard]] bool gap(Time now) {
    const bool found = now - awake_ > limit_;
    awake_ = now;
    return found;
  }

 private:
  Time limit_;
  Time awake_;  ///< last seen
};

}  // namespace migration::handover
