#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "migration/base/options.hpp"
#include "migration/base/report.hpp"
#include "migration/policy/convergence.hpp"
#include "migration/policy/switch_policy.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// What decides in pre-copy: a pure object that is told what was measured and what time it is, and
/// answers what to do. Who copies feeds it and obeys: `migration/source` a VM, `migration/model` a
/// guest that it makes up, in virtual time.
///
/// For each round, the last one at the stop included: `begin`; every kAskEvery `wants_sample` and
/// `wants_look`, and what they ask for; `landed`. After each but the last: `decide`.
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
    double state_bytes = 0;   ///< of CPUs and devices, that travel within the stop
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

 private:
  [[nodiscard]] bool may_switch() const {
    return settings_.mode == Mode::automatic && post_copy_allowed_;
  }
  [[nodiscard]] ConvergenceInput measure(std::uint64_t dirty_pages, std::uint64_t cap) const;
  [[nodiscard]] std::optional<std::string> reason_to_switch(const Decision& decision,
                                                            const AfterRound& after);

  Settings settings_;
  bool post_copy_allowed_ = false;
  SwitchPolicy switch_policy_;
  std::uint32_t round_ = 0;
  Kind kind_ = Kind::given;
  Time began_{};
  Sent before_;
  RoundReport last_;
  std::uint64_t last_data_pages_ = 0;
  double link_bytes_per_second_ = 0;
  unsigned throttle_ = 0;
  bool sampling_ = false;  ///< within this round
  Time sampled_at_{};
  Time sample_again_{};
  double hot_seconds_ = 0;  ///< in which a page was written twice that was held back
  Time look_again_{};
  std::optional<std::string> in_vain_;  ///< as was found within a round
};

}  // namespace migration
