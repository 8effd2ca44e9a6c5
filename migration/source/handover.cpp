#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"
#include "migration/pages/verify.hpp"
#include "migration/source/source.hpp"

/// The part of the source that must never go wrong: at no moment may two processes own the VM, and
/// after every failure the report says who does. The rules are in docs/architecture.md, "Handover".
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

constexpr std::chrono::milliseconds kPaceStep{100};

}  // namespace

asio::awaitable<void> OutgoingMigration::Source::hand_over(bool post_copy) {
  phase("stopped");
  stopped_at_ = Clock::now();
  machine_->pause();
  const auto paused_at = Clock::now();
  check_guest();

  // The state first: saving can write guest pages (kvmclock), so the dirty log is harvested after.
  control_->send(FrameType::state, wire::encode_state(machine_->save()));
  const auto saved_at = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    report_.phases_ms.stop = ms_between(stopped_at_, paused_at);
    report_.phases_ms.state = ms_between(paused_at, saved_at);
  }
  if (post_copy) {
    co_await tell_rest();
  } else {
    co_await send_last_pages();
  }
  take_prepared(co_await expect(FrameType::prepared));
  commit();
  // A Commit that has not arrived when this side gives the connection up must not arrive later.
  control_->reset_on_close();
  control_->send(FrameType::commit);
  // In time, whatever else shows that it lives: until then the VM runs nowhere.
  const Frame last = checked(co_await control_->answer(options_.timeout), FrameType::running);
  const auto running = wire::decode<wire::Running>(last.payload);
  if (running.missing == 0) {
    complete(running);
  } else if (server_) {
    serve_from_now_on(running);
  } else {
    throw wire::ProtocolError("the destination says that it lacks pages, which it cannot");
  }
}

asio::awaitable<void> OutgoingMigration::Source::send_last_pages() {
  const auto start = Clock::now();
  const std::uint32_t number = driver_.next_round();
  const auto round =
      options_.mode == Mode::stop_and_copy && !reuses()
          ? std::make_shared<PreCopyRound>(number, machine_->memory(), nullptr)
          : std::make_shared<PreCopyRound>(number, machine_->memory(), nullptr, harvest_unsent());
  const auto tell_last_round = [this, number] {
    last_round_told_ = true;
    control_->send(FrameType::last_round, wire::encode_round(number));
  };
  if (!options_.verify) tell_last_round();
  co_await send_round(round, PreCopyDriver::Kind::last);
  landed_at_ = Clock::now();
  if (options_.verify) {
    co_await send_digests(nullptr);
    tell_last_round();
  }
  const std::lock_guard lock(mutex_);
  report_.phases_ms.last_pages = ms_between(start, landed_at_);
  count_pages();
}

/// Of the pages that the destination has: all that were ever touched but for the missing ones.
asio::awaitable<void> OutgoingMigration::Source::send_digests(const vmm::PageSet* missing) {
  phase("verifying");
  for (const vmm::PageRange& piece : pages_to_digest(machine_->memory(), missing)) {
    control_->send(FrameType::digests,
                   wire::encode_digests(piece, digest(machine_->memory(), piece)));
    co_await control_->drained();
    co_await pace();
  }
}

/// Holds the digests, which can be many megabytes, to the bandwidth cap.
asio::awaitable<void> OutgoingMigration::Source::pace() {
  asio::steady_timer timer(context_);
  for (;;) {
    const auto wait = limiter_.due_in();
    if (wait == Clock::duration::zero()) co_return;
    // In short steps: the cap may be lifted, or the migration cancelled.
    timer.expires_after(std::min<Clock::duration>(wait, kPaceStep));
    co_await timer.async_wait(asio::use_awaitable);
  }
}

void OutgoingMigration::Source::take_prepared(const Frame& frame) {
  const auto prepared = wire::decode<wire::Prepared>(frame.payload);
  if (prepared.incarnation != incarnation_) {
    throw wire::ProtocolError("another receiver answered than the one that was asked");
  }
  if (options_.verify && !prepared.verified) {
    throw wire::ProtocolError("the destination has not verified what it got");
  }
  prepared_at_ = Clock::now();
  const std::lock_guard lock(mutex_);
  report_.phases_ms.restore = prepared.restore_ms;
  if (!options_.verify) return;
  report_.phases_ms.verify = ms_between(landed_at_, prepared_at_);
  report_.verified = prepared.verified;
}

void OutgoingMigration::Source::commit() {
  if (failure_) std::rethrow_exception(failure_);  // a page channel's, say
  const std::lock_guard lock(mutex_);
  if (cancelled_) throw std::runtime_error("cancelled by request");
  // Noted before Commit can leave: from here on the VM may run over there.
  stage_ = Stage::committed;
  hands_pages_over_ = server_ != nullptr;
  report_.phase = "handing over";
}

/// The destination says that the VM runs there: the first time this ends the downtime.
void OutgoingMigration::Source::take_running(const wire::Running& running) {
  const auto now = Clock::now();
  failure_ = nullptr;
  running_ = running;
  const std::lock_guard lock(mutex_);
  if (std::exchange(ran_there_, true)) return;
  report_.phases_ms.commit = ms_between(prepared_at_, now);
  report_.downtime_ms = ms_between(stopped_at_, now) - report_.phases_ms.verify;
}

std::string OutgoingMigration::Source::is_there() const {
  const std::string where = to_string(options_.to);
  return was_running_ ? fmt::format("the VM runs at {}", where)
                      : fmt::format("the VM is at {}, paused as it was", where);
}

void OutgoingMigration::Source::complete(const wire::Running& running) {
  take_running(running);
  const std::lock_guard lock(mutex_);
  stage_ = Stage::settled;
  report_.outcome = Outcome::completed;
  report_.error = std::nullopt;
  report_.phase = "completed";
  report_.progress = Progress::kDone;
  report_.owner = is_there();
  report_.total_ms = ms_since(start_);
  report_.cpu_seconds_destination = running.cpu_seconds;
  report_.peak_rss_destination = running.peak_rss;
}

void OutgoingMigration::Source::stay(Outcome outcome, const std::string& error) {
  const bool ended = machine_->ended().has_value();
  std::string trouble;
  try {
    machine_->throttle(0);
    if (was_running_ && !ended) machine_->resume();
  } catch (const std::exception& failure) {
    trouble = failure.what();
  }
  {
    const std::lock_guard lock(mutex_);
    const bool was_stopped = stopped_at_ != Clock::time_point{};
    stage_ = Stage::settled;
    report_.outcome = outcome;
    report_.error = error;
    report_.phase = to_string(outcome);
    if (ended) {
      report_.owner = "the guest has ended, here";
    } else if (!trouble.empty()) {
      report_.owner = fmt::format("the VM is here, and cannot be resumed: {}", trouble);
    } else if (was_running_) {
      report_.owner = "the VM is here and runs on";
    } else {
      report_.owner = "the VM is here, paused as it was";
    }
    report_.total_ms = ms_since(start_);
    report_.downtime_ms = was_stopped ? ms_since(stopped_at_) : 0;
  }
  try {
    machine_->dirty_log().stop();  // takes a while, and the guest runs already
  } catch (const std::exception& failure) {
    callbacks_.message(fmt::format("the VM's writes are still logged: {}", failure.what()));
  }
}

asio::awaitable<void> OutgoingMigration::Source::tell_abort() {
  if (!control_) co_return;
  try {
    control_->send(FrameType::abort, wire::encode(wire::Reason{live().error.value_or("")}));
    control_->close_when_drained(nullptr, kWordGrace);
    co_await control_->drained();
    last_round_told_ = false;  // the kernel has it; the connection still stood
  } catch (const std::exception&) {
    // The link is gone. A destination before Prepared sees that too and gives up.
  }
  control_->close();
}

/// Over there it can be read for as long as the VM is there; this process is about to end. Where
/// there is no link nobody is told.
asio::awaitable<void> OutgoingMigration::Source::tell_report() {
  if (!control_ || !features_.has(wire::Feature::report)) co_return;
  control_->send(FrameType::report, wire::encode(live()));
  // Whoever writes it has its turn, and does so at once where there is room.
  co_await asio::post(context_, asio::use_awaitable);
}

/// The VM has moved, and nothing of it is here. The keeper of its image stays connected.
asio::awaitable<void> OutgoingMigration::Source::hang_up() {
  if (!control_ || keeper_) co_return;
  control_->deliver_on_close();  // Commit has arrived
  control_->close_when_drained(nullptr, kWordGrace);
  try {
    co_await control_->drained();
  } catch (const std::exception&) {
    // It does without.
  }
}

void OutgoingMigration::Source::finish() {
  Result result{live(), nullptr, false};
  if (result.report.outcome == Outcome::completed) {
    result.kept = keeper_ != nullptr;
    callbacks_.ended(std::move(result));
    machine_.reset();  // after the report is out: giving back RAM takes a while
  } else {
    machine_->on_end(nullptr);
    result.machine = std::move(machine_);
    callbacks_.ended(std::move(result));
  }
}

}  // namespace migration
