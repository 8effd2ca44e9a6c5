#include "migration/policy/pre_copy_driver.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "migration/policy/round_pages.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration {

namespace {

constexpr unsigned kHybridRounds = 1;
constexpr unsigned kPreCopyRounds = 30;
/// Pause, save, restore, resume and the two round trips of the handover, until measured.
constexpr double kFixedSeconds = 0.003;
/// A round with fewer bytes shows the latency of the link and not its rate.
constexpr std::uint64_t kRateSample = std::uint64_t{4} << 20;
/// Sampling pays in a first round that goes on for longer than this: some samples are needed before
/// any page is known to be hot, and then there must be pages left to hold back.
constexpr double kWorthSampling = 0.5;
/// What looks at the dirty log within a round may take this small a share of the time.
constexpr int kLookShare = 20;

double seconds(PreCopyDriver::Time time) { return std::chrono::duration<double>(time).count(); }

double bytes(std::uint64_t pages) { return static_cast<double>(pages) * vmm::kPageSize; }

}  // namespace

PreCopyDriver::PreCopyDriver(const Settings& settings) : settings_(settings) {
  if (settings_.max_rounds == 0) {
    settings_.max_rounds = settings_.mode == Mode::hybrid ? kHybridRounds : kPreCopyRounds;
  }
}

void PreCopyDriver::begin(Kind kind, Time now, const Sent& sent) {
  ++round_;
  kind_ = kind;
  if (kind == Kind::last) measured_.reset();
  if (!quiet_wait_) quiet_wait_.emplace(now);
  began_ = now;
  before_ = sent;
  sampling_ = false;
}

bool PreCopyDriver::wants_sample(Time now, const SoFar& so_far) const {
  if (!settings_.hot_last || kind_ != Kind::discovers || now < sample_again_) return false;
  if (sampling_) return true;
  if (so_far.count == 0) return false;
  const auto done = static_cast<double>(so_far.count);
  const auto used = static_cast<double>(so_far.used);
  return seconds(now - began_) * (used - done) / done >= kWorthSampling;
}

void PreCopyDriver::sampled(Time from, Time to) {
  if (sampling_) hot_seconds_ = RoundPages::kSamples * seconds(from - sampled_at_);
  sampling_ = true;
  sampled_at_ = from;
  sample_again_ = from + kLookShare * (to - from);
}

bool PreCopyDriver::wants_look(Time now) const {
  if (!may_switch() || in_vain_) return false;
  // A stop has fitted: what is sent until a quiet moment is few pages, of which nothing can be
  // told.
  if (stop_wait_) return false;
  // What is read of a stopped guest is not taken out of the log: no page sent makes it less. And
  // nothing may end this round: the destination runs with what it brings.
  if (kind_ == Kind::last) return false;
  // A first round that was given its pages is short, as the destination has an image; and what the
  // log says is not what is left.
  if (kind_ == Kind::given && round_ == 1) return false;
  return now >= look_again_;
}

bool PreCopyDriver::looked(Time from, Time to, const vmm::PageSet& dirty, const SoFar& so_far,
                           const Sent& sent) {
  look_again_ = to + kLookShare * (to - from);
  std::uint64_t left = dirty.count();
  if (kind_ == Kind::discovers) {
    // What was not yet taken up counts as dirty, and much of it was never touched. No more of it is
    // left than there is, however much memory this process has beside RAM.
    left = dirty.count({0, so_far.taken_up}) +
           std::min(so_far.used - std::min(so_far.used, so_far.count),
                    dirty.pages() - so_far.taken_up);
  }
  if (!switch_policy_.in_vain(bytes(left), bytes(sent.data_pages))) return false;
  in_vain_ =
      fmt::format("the guest writes pages as fast as they are sent (within round {})", round_);
  return true;
}

RoundReport PreCopyDriver::landed(Time now, const Sent& sent) {
  last_ = {.pages = sent.pages - before_.pages,
           .wire_bytes = sent.wire_bytes - before_.wire_bytes,
           .duration_ms = std::chrono::duration<double, std::milli>(now - began_).count(),
           .throttle = throttle_};
  landed_ = now;
  last_data_pages_ = sent.data_pages - before_.data_pages;
  if (link_bytes_per_second_ == 0 || last_.wire_bytes >= kRateSample) {
    link_bytes_per_second_ =
        std::max(1.0, static_cast<double>(last_.wire_bytes)) / (last_.duration_ms / 1000);
  }
  return last_;
}

PreCopyDriver::Next PreCopyDriver::decide(const AfterRound& after) {
  const ConvergenceInput measured = measure(after.dirty_pages, after.cap);
  Next next{migration::decide(measured), std::nullopt};
  measured_ = measured;
  next.switched = reason_to_switch(next.decision, after);
  if (next.switched) {
    next.decision.step = Step::post_copy;
  } else if (next.decision.step == Step::throttle) {
    throttle_ = next.decision.throttle;
  } else if (next.decision.why == Why::fits && waits(measured)) {
    next.decision.step = Step::watch;
  }
  note_stop(landed_, next.decision.downtime_seconds);
  return next;
}

/// The stop would fit. A round that brings what was written meanwhile is to be no last one.
bool PreCopyDriver::waits(const ConvergenceInput& measured) {
  if (settings_.stop_policy != StopPolicy::density) return false;
  if (round_ + 1 >= settings_.max_rounds) return false;
  const double rest = measured.remaining_bytes / measured.bytes_per_second;
  const double downtime = migration::decide(measured).downtime_seconds;
  const bool waits = quiet_wait_->begins(
      landed_, {.seconds = rest,
                .most_seconds = measured.max_downtime_seconds - downtime + rest,
                .ratio = measured.dirty_bytes_per_second / measured.bytes_per_second});
  if (waits && !stop_wait_) {
    first_fit_ = landed_;
    stop_wait_ = MigrationReport::StopWait();
    stop_wait_->first_downtime_ms = 1000 * downtime;
  }
  return waits;
}

/// It may be the one that comes.
void PreCopyDriver::note_stop(Time now, double downtime_seconds) {
  if (!stop_wait_) return;
  stop_wait_->ms = 1000 * seconds(now - first_fit_);
  stop_wait_->downtime_ms = 1000 * downtime_seconds;
}

Step PreCopyDriver::watched(const Watched& watched) {
  const ConvergenceInput measured = measure(watched.dirty_pages, watched.cap);
  const double rest = measured.remaining_bytes / measured.bytes_per_second;
  const double page = rest / static_cast<double>(std::max<std::uint64_t>(watched.dirty_pages, 1));
  const double downtime = migration::decide(measured).downtime_seconds;
  note_stop(watched.to, downtime);
  switch (quiet_wait_->watched({.from = watched.from,
                                .to = watched.to,
                                .cost = watched.cost,
                                .written_seconds = page * static_cast<double>(watched.written),
                                .rest_seconds = rest,
                                .most_seconds = measured.max_downtime_seconds - downtime + rest})) {
    case QuietWait::Verdict::goes_on: return Step::watch;
    case QuietWait::Verdict::round: return Step::next_round;
    case QuietWait::Verdict::stop: break;
  }
  return Step::stop;
}

std::optional<std::string> PreCopyDriver::reason_to_switch(const Decision& decision,
                                                           const AfterRound& after) {
  if (settings_.mode == Mode::hybrid) {
    if (round_ < settings_.max_rounds) return std::nullopt;
    return fmt::format("after {} round{} of pre-copy, as asked for", round_,
                       round_ == 1 ? "" : "s");
  }
  if (!may_switch()) return std::nullopt;
  if (in_vain_) return in_vain_;
  const bool vain = switch_policy_.in_vain(bytes(after.dirty_pages), bytes(after.data_pages));
  if (vain && decision.step != Step::stop) {
    return fmt::format("the guest writes pages as fast as they are sent (after round {})", round_);
  }
  // Sending what was held back is in vain too if it takes longer than the guest to write it again.
  const ConvergenceInput hot = measure(after.held_back, after.cap);
  if (decision.step != Step::stop && hot.remaining_bytes > hot.bytes_per_second * hot_seconds_) {
    return fmt::format("the guest writes {} pages again sooner than they are sent (after round {})",
                       after.held_back, round_);
  }
  if (decision.step == Step::post_copy) {
    return fmt::format("the rest does not fit the downtime after {} rounds", round_);
  }
  return std::nullopt;
}

ConvergenceInput PreCopyDriver::measure(std::uint64_t dirty_pages, std::uint64_t cap) const {
  // What the last round's pages took on the wire, they will about take again. But the first round
  // has all pages, and those of it that are zero are not those that the guest writes.
  const std::uint64_t pages = round_ == 1 ? last_data_pages_ : last_.pages;
  const double page_bytes =
      pages == 0 ? static_cast<double>(vmm::kPageSize)
                 : static_cast<double>(last_.wire_bytes) / static_cast<double>(pages);
  const double remaining = static_cast<double>(dirty_pages) * page_bytes;
  double rate = link_bytes_per_second_;
  if (cap != 0) rate = std::min(rate, static_cast<double>(cap));
  return {.rounds = round_,
          .remaining_bytes = remaining,
          .state_bytes = settings_.state_bytes,
          .bytes_per_second = std::max(rate, 1.0),
          .dirty_bytes_per_second = remaining / std::max(last_.duration_ms / 1000, 1e-6),
          .fixed_seconds = kFixedSeconds,
          .max_downtime_seconds = static_cast<double>(settings_.max_downtime.count()) * 1e-6,
          .max_rounds = settings_.max_rounds,
          .may_throttle = settings_.throttle,
          .throttle = throttle_,
          .may_switch = may_switch()};
}

}  // namespace migration
