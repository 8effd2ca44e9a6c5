#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "migration/base/options.hpp"
#include "migration/base/report.hpp"
#include "migration/policy/convergence.hpp"
#include "migration/policy/quiet_wait.hpp"
#include "migration/policy/switch_policy.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// What decides in pre-copy: a pure object that is told what was measured and what time it is, and
/// answers what to do. Who copies feeds it and obeys: `migration/source` a VM, `migration/model` a
/// guest that it makes up, in virtual time.
///
/// For each round, the last one at the stop included: `begin`; every kAskEvery `wants_sample` and
/// `wants_look`, and what they ask for; `landed`. After each but the last: `decide`; and where that
/// says to watch, `watched` after each `watch_window`, until that says what to do.
class PreCopyDriver {
 public:
  /// Since some moment; it never goes back.
  using Time = std::chrono::nanoseconds;
  static constexpr std::chrono::milliseconds kAskEvery{100};

  struct Settings {
    Mode mode = Mode::pre_copy;
    std::chrono::microseconds max_downtime{50'000};
    unsigned max_rounds = 0;  ///< 0: as many as suit the mode
    bool hot_last = true;     ///< a long round that discovers its pages holds back hot ones
    bool throttle = false;    ///< the guest may be slowed
    StopPolicy stop_policy = StopPolicy::first_fit;
    double state_bytes = 0;  ///< of CPUs and devices, that travel within the stop
  };
  explicit PreCopyDriver(const Settings& settings);

  void set_max_downtime(std::chrono::microseconds most) { settings_.max_downtime = most; }
  /// The destination can fetch pages. Without this word `automatic` stays pre-copy.
  void allow_post_copy() { post_copy_allowed_ = true; }

  enum class Kind {
    discovers,  ///< the round finds its pages itself: all that were ever touched
    given,      ///< it was given them
    last,       ///< the guest is stopped
  };
  /// What went over the page channels in this migration so far.
  struct Sent {
    std::uint64_t pages = 0;
    std::uint64_t data_pages = 0;  ///< of these, all but zero pages
    std::uint64_t wire_bytes = 0;
  };
  /// The number of the next round, from 1.
  [[nodiscard]] std::uint32_t next_round() const { return round_ + 1; }
  /// The number of the newest round; 0 before the first.
  [[nodiscard]] std::uint32_t round() const { return round_; }
  void begin(Kind kind, Time now, const Sent& sent);
  /// Bytes per second that the link has carried; 0: not yet known.
  [[nodiscard]] double link_rate() const { return link_bytes_per_second_; }
  /// What `decide` last went by, if rounds may follow the newest one.
  [[nodiscard]] const std::optional<ConvergenceInput>& measured() const { return measured_; }
  /// When the newest round began.
  [[nodiscard]] const Sent& sent_before() const { return before_; }

  /// How far the round that is under way is.
  struct SoFar {
    vmm::PageIndex taken_up = 0;  ///< pages below this one have been
    std::uint64_t count = 0;      ///< pages taken up
    /// Pages that the guest has ever touched; and those of this process beside them.
    std::uint64_t used = 0;
  };
  /// Whether to sample now what the guest writes, and so hold back what it writes again and again.
  [[nodiscard]] bool wants_sample(Time now, const SoFar& so_far) const;
  /// It was done, which took from the one time to the other.
  void sampled(Time from, Time to);
  /// Whether to read the dirty log now, without clearing it, for work that is in vain.
  [[nodiscard]] bool wants_look(Time now) const;
  /// It was read, which took so long. True: the round is to be ended, and then what is left
  /// switched to post-copy.
  [[nodiscard]] bool looked(Time from, Time to, const vmm::PageSet& dirty, const SoFar& so_far,
                            const Sent& sent);

  /// All pages of the round are at the destination. Its report lacks only what was dirtied.
  RoundReport landed(Time now, const Sent& sent);

  struct AfterRound {
    std::uint64_t dirty_pages = 0;  ///< that must be sent now, held back ones included
    std::uint64_t held_back = 0;    ///< pages, by this round
    std::uint64_t data_pages = 0;   ///< sent in all
    std::uint64_t cap = 0;          ///< bytes per second that may be sent; 0: no cap
  };
  struct Next {
    Decision decision;
    std::optional<std::string> switched;  ///< with Step::post_copy: why, for people
  };
  [[nodiscard]] Next decide(const AfterRound& after);

  /// The guest writes for so long. What it wrote is then taken out of the log, and must be sent.
  [[nodiscard]] Time watch_window() const { return quiet_wait_->window(); }
  struct Watched {
    Time from{}, to{};              ///< from the last time that it was taken out until now
    Time cost{};                    ///< what taking it out took
    std::uint64_t written = 0;      ///< pages
    std::uint64_t dirty_pages = 0;  ///< that must be sent now
    std::uint64_t cap = 0;          ///< as of AfterRound
  };
  /// To stop, to send another round or to watch on.
  [[nodiscard]] Step watched(const Watched& watched);
  /// What came of watching.
  [[nodiscard]] const std::optional<MigrationReport::StopWait>& stop_wait() const {
    return stop_wait_;
  }

 private:
  [[nodiscard]] bool may_switch() const {
    return settings_.mode == Mode::automatic && post_copy_allowed_;
  }
  [[nodiscard]] ConvergenceInput measure(std::uint64_t dirty_pages, std::uint64_t cap) const;
  [[nodiscard]] std::optional<std::string> reason_to_switch(const Decision& decision,
                                                            const AfterRound& after);
  [[nodiscard]] bool waits(const ConvergenceInput& measured);
  void note_stop(Time now, double downtime_seconds);

  Settings settings_;
  bool post_copy_allowed_ = false;
  SwitchPolicy switch_policy_;
  std::uint32_t round_ = 0;
  Kind kind_ = Kind::given;
  Time began_{};
  Time landed_{};
  Sent before_;
  RoundReport last_;
  std::uint64_t last_data_pages_ = 0;
  double link_bytes_per_second_ = 0;
  std::optional<ConvergenceInput> measured_;
  unsigned throttle_ = 0;
  bool sampling_ = false;  ///< within this round
  Time sampled_at_{};
  Time sample_again_{};
  double hot_seconds_ = 0;  ///< in which a page was written twice that was held back
  Time look_again_{};
  std::optional<std::string> in_vain_;   ///< as was found within a round
  std::optional<QuietWait> quiet_wait_;  ///< from the first round on
  Time first_fit_{};
  std::optional<MigrationReport::StopWait> stop_wait_;
};

}  // namespace migration
