#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"
#include "migration/source/source.hpp"

/// The source's rounds of pre-copy, while the guest runs.
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// Pause, save, restore, resume and the two round trips of the handover, until measured.
constexpr double kFixedSeconds = 0.003;
/// A round with fewer bytes shows the latency of the link and not its rate.
constexpr std::uint64_t kRateSample = std::uint64_t{4} << 20;
/// Watching writes pays in a first round that goes on for longer than this: some samples are needed
/// before any page is known to be hot, and then there must be pages left to hold back.
constexpr double kWorthWatching = 0.5;

}  // namespace

asio::awaitable<bool> OutgoingMigration::Source::pre_copy() {
  vmm::DirtyLog& log = machine_->dirty_log();
  if (!log.active()) log.start();
  auto round = reuses() ? std::make_shared<PreCopyRound>(
                              ++round_, machine_->memory(), &log,
                              std::exchange(unsent_, vmm::PageSet(unsent_.pages())))
                        : std::make_shared<PreCopyRound>(++round_, machine_->memory(), &log);
  for (;;) {
    phase(fmt::format("round {}", round_));
    co_await send_round(round);
    check_guest();
    unsent_ |= round->left();
    vmm::PageSet dirty = log.harvest();
    dirty |= unsent_;
    hot_.observe(dirty);
    const std::uint64_t dirty_pages = dirty.count();
    {
      const std::lock_guard lock(mutex_);
      report_.rounds.back().dirtied = dirty_pages;
      report_.pages.held_back += round->held_back();
      count_pages();
    }
    const Decision decision = decide(measure(dirty_pages));
    if (auto why = reason_to_switch(decision, dirty_pages, round->held_back())) {
      const std::lock_guard lock(mutex_);
      report_.switched = std::move(why);
      co_return true;
    }
    if (decision.step == Step::stop) co_return false;
    if (decision.step == Step::throttle) {
      throttle_ = decision.throttle;
      machine_->throttle(throttle_);
    }
    unsent_.clear();
    round = std::make_shared<PreCopyRound>(++round_, machine_->memory(), &log, std::move(dirty));
  }
}

/// Within a first round that takes long: which pages does the guest write again and again?
void OutgoingMigration::Source::watch_writes() {
  if (!options_.hot_last || !copying_ || !copying_->can_be_watched()) return;
  // A migration that has just failed has no log any more.
  if (!machine_ || !machine_->dirty_log().active()) return;
  const auto now = Clock::now();
  if (now < watch_again_) return;
  if (!copying_->watching()) {
    const auto done = static_cast<double>(copying_->count());
    const auto used = static_cast<double>(resident_bytes()) / static_cast<double>(vmm::kPageSize);
    if (done == 0 || seconds_since(round_start_) * (used - done) / done < kWorthWatching) return;
  } else {
    hot_seconds_ = PreCopyRound::kSamples * seconds_since(watched_);
  }
  copying_->watch_writes();
  watched_ = now;
  watch_again_ = now + kLookShare * (Clock::now() - now);
}

asio::awaitable<void> OutgoingMigration::Source::send_round(std::shared_ptr<PreCopyRound> round) {
  const auto start = round_start_ = Clock::now();
  const std::uint64_t bytes_before = counters_.wire_bytes;
  sent_before_round_ = pages_sent();
  if (reuses() && !to_travel_) to_travel_ = round->all();
  copying_ = round;
  for (const auto& sender : senders_) sender->start(round);
  const Frame landed = co_await expect(FrameType::landed);
  if (wire::decode_round(landed.payload) != round->number()) {
    throw wire::ProtocolError("the destination acknowledged another round than was sent");
  }
  copying_ = nullptr;
  vmm::PageSet pages = round->handed_out();
  sent_ |= pages;
  reusable_ -= pages;
  copied_ -= pages;
  const RoundReport sent{.pages = pages_sent() - sent_before_round_,
                         .wire_bytes = counters_.wire_bytes - bytes_before,
                         .duration_ms = ms_since(start),
                         .throttle = throttle_};
  if (link_bytes_per_second_ == 0 || sent.wire_bytes >= kRateSample) {
    link_bytes_per_second_ =
        std::max(1.0, static_cast<double>(sent.wire_bytes)) / (sent.duration_ms / 1000);
  }
  const std::lock_guard lock(mutex_);
  report_.rounds.push_back(sent);
  report_.pages.resent = pages_sent() - sent_.count();
}

ConvergenceInput OutgoingMigration::Source::measure(std::uint64_t dirty_pages) const {
  const std::lock_guard lock(mutex_);
  const RoundReport& last = report_.rounds.back();
  // What the last round's pages took on the wire, they will about take again.
  const double page_bytes =
      last.pages == 0 ? static_cast<double>(vmm::kPageSize)
                      : static_cast<double>(last.wire_bytes) / static_cast<double>(last.pages);
  const double remaining = static_cast<double>(dirty_pages) * page_bytes;
  double rate = link_bytes_per_second_;
  if (const std::uint64_t cap = limiter_.rate(); cap != 0) {
    rate = std::min(rate, static_cast<double>(cap));
  }
  return {.rounds = round_,
          .remaining_bytes = remaining,
          .state_bytes = 16.0 * 1024 * machine_->config().cpus,
          .bytes_per_second = std::max(rate, 1.0),
          .dirty_bytes_per_second = remaining / std::max(last.duration_ms / 1000, 1e-6),
          .fixed_seconds = kFixedSeconds,
          .max_downtime_seconds = static_cast<double>(max_downtime_us_) * 1e-6,
          .max_rounds = options_.max_rounds,
          .may_throttle = options_.throttle,
          .throttle = throttle_,
          .may_switch = options_.mode == Mode::automatic && no_post_copy_.empty()};
}

}  // namespace migration
