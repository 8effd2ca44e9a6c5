#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "migration/model/bases.hpp"
#include "migration/model/guest.hpp"
#include "migration/policy/pre_copy_driver.hpp"

namespace migration::model {

/// A guest that runs while its pages go over a link, in virtual time.
class Copying {
 public:
  using Time = PreCopyDriver::Time;

  /// `scenario` outlives it. Once `stop` asks for that, time that is to go by throws Stopped.
  Copying(const Scenario& scenario, std::stop_token stop);

  [[nodiscard]] Guest& guest() { return *guest_; }
  [[nodiscard]] const Guest& guest() const { return *guest_; }
  [[nodiscard]] Time now() const { return now_; }
  [[nodiscard]] double seconds() const;
  [[nodiscard]] const PreCopyDriver::Sent& sent() const { return sent_; }
  /// Bytes per second that are sent at most.
  [[nodiscard]] double rate() const;

  /// Time goes by, and the guest runs unless it is stopped.
  void pass(double seconds);
  /// There, and back.
  void pass_round_trip();
  /// To be called every PreCopyDriver::kAskEvery, while its pages are sent.
  void each_tick(std::function<void()> tick) { tick_ = std::move(tick); }
  void throttle(unsigned percent) { throttle_ = percent; }
  void stop_guest() { stopped_ = true; }
  /// It runs again, there, where it waits `seconds` more each time that `waits` is called.
  void start_guest();
  void waits(double seconds) { waited_ += seconds; }

  /// Sends these pages as they are now, in that round of pre-copy; 0: after all of these.
  void send(vmm::PageRange pages, std::uint32_t round = 0);
  void send_bytes(double bytes);
  /// Pages that the destination has not as they are here, but for those that are `missing`.
  [[nodiscard]] std::uint64_t different(const vmm::PageSet& missing) const;

 private:
  const Scenario& scenario_;
  const std::stop_token stop_;
  std::unique_ptr<Guest> guest_;
  Bases bases_;
  std::vector<std::uint32_t> there_;  ///< versions; 0: nothing, and so zero
  Time now_{};
  Time next_tick_ = PreCopyDriver::kAskEvery;
  std::function<void()> tick_;
  PreCopyDriver::Sent sent_;
  unsigned throttle_ = 0;
  bool stopped_ = false;
  double waited_ = 0;
};

[[nodiscard]] PreCopyDriver::Time to_time(double seconds);
[[nodiscard]] double to_seconds(PreCopyDriver::Time time);

}  // namespace migration::model
