#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

#include "migration/source.hpp"
#include "migration/usage.hpp"
#include "migration/verify.hpp"

/// The part of the source that must never go wrong: at no moment may two processes own the VM, and
/// after every failure the report says who does. The rules are in docs/architecture.md, "Handover".
namespace migration {

namespace asio = boost::asio;
using net::Connection;
using net::Frame;
using wire::FrameType;

namespace {

constexpr std::chrono::milliseconds kFirstRetry{100};
constexpr std::chrono::milliseconds kLongestRetry{5'000};
constexpr std::chrono::milliseconds kPaceStep{100};
/// A destination that missed the news that the VM stayed here is told for so long.
constexpr std::chrono::minutes kTellAbortFor{10};

double ms_between(std::chrono::steady_clock::time_point from,
                  std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace

asio::awaitable<void> OutgoingMigration::Source::hand_over() {
  phase("stopped");
  stopped_at_ = Clock::now();
  machine_->pause();
  const auto paused_at = Clock::now();
  check_guest();

  // The state first: saving can write guest pages (kvmclock), so the dirty log is harvested after.
  control_->send(FrameType::state, wire::encode_state(machine_->save()));
  const auto saved_at = Clock::now();
  ++round_;
  const auto round = options_.mode == Mode::pre_copy
                         ? std::make_shared<Round>(round_, machine_->memory(), nullptr,
                                                   machine_->dirty_log().harvest())
                         : std::make_shared<Round>(round_, machine_->memory(), nullptr);
  const auto tell_last_round = [this] {
    last_round_told_ = true;
    control_->send(FrameType::last_round, wire::encode_round(round_));
  };
  if (!options_.verify) tell_last_round();
  co_await send_round(round);
  const auto landed_at = Clock::now();
  if (options_.verify) {
    phase("verifying");
    co_await send_digests();
    tell_last_round();
  }
  const Frame answer = co_await expect(FrameType::prepared);
  const auto prepared = wire::decode<wire::Prepared>(answer.payload);
  if (prepared.incarnation != incarnation_) {
    throw wire::ProtocolError("another receiver answered than the one that was asked");
  }
  if (options_.verify && !prepared.verified) {
    throw wire::ProtocolError("the destination has not verified what it got");
  }
  prepared_at_ = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    auto& phases = report_.phases_ms;
    phases.stop = ms_between(stopped_at_, paused_at);
    phases.state = ms_between(paused_at, saved_at);
    phases.last_pages = ms_between(saved_at, landed_at);
    phases.restore = prepared.restore_ms;
    if (options_.verify) {
      phases.verify = ms_between(landed_at, prepared_at_);
      report_.verified = prepared.verified;
    }
    if (options_.mode == Mode::stop_and_copy) {
      report_.pages.unpopulated = report_.pages.total - round->pages().count();
    }
  }
  commit();
  // A Commit that has not arrived when this side gives the connection up must not arrive later.
  control_->reset_on_close();
  control_->send(FrameType::commit);
  const Frame last = co_await expect(FrameType::running);
  complete(wire::decode<wire::Running>(last.payload));
}

asio::awaitable<void> OutgoingMigration::Source::send_digests() {
  for (const vmm::PageRange& piece : pages_to_digest(machine_->memory())) {
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

void OutgoingMigration::Source::commit() {
  const std::lock_guard lock(mutex_);
  if (cancelled_) throw std::runtime_error("cancelled by request");
  // Noted before Commit can leave: from here on the VM may run over there.
  stage_ = Stage::committed;
  report_.phase = "handing over";
}

void OutgoingMigration::Source::complete(const wire::Running& running) {
  const auto now = Clock::now();
  failure_ = nullptr;
  const std::lock_guard lock(mutex_);
  stage_ = Stage::settled;
  report_.outcome = Outcome::completed;
  report_.error = std::nullopt;
  report_.phase = "completed";
  report_.owner = fmt::format("the VM runs at {}", to_string(options_.to));
  report_.phases_ms.commit = ms_between(prepared_at_, now);
  report_.total_ms = ms_between(start_, now);
  report_.downtime_ms = ms_between(stopped_at_, now) - report_.phases_ms.verify;
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
    report_.total_ms = ms_between(start_, Clock::now());
    report_.downtime_ms = was_stopped ? ms_between(stopped_at_, Clock::now()) : 0;
  }
  machine_->dirty_log().stop();  // takes a while, and the guest runs already
}

asio::awaitable<void> OutgoingMigration::Source::tell_abort() {
  if (!control_) co_return;
  try {
    control_->send(FrameType::abort, wire::encode(wire::Reason{live().error.value_or("")}));
    co_await control_->drained();
    last_round_told_ = false;  // the kernel has it; the connection still stood
  } catch (const std::exception&) {
    // The link is gone. A destination before Prepared sees that too and gives up.
  }
  control_->close();
}

asio::awaitable<wire::VmStatus> OutgoingMigration::Source::inquire() {
  inquiry_ = std::make_shared<Connection>(co_await net::dial(options_.to, options_.timeout),
                                          options_.timeout);
  co_await inquiry_->greet(wire::Role::inquiry);
  inquiry_->keep_alive();
  inquiry_->send(FrameType::inquire, wire::encode(wire::Inquire{token_, incarnation_}));
  const Frame answer = co_await inquiry_->receive();
  if (answer.type != FrameType::status) throw wire::ProtocolError("no status from the peer");
  const auto status = wire::decode<wire::Status>(answer.payload);
  // Somebody else at that address knows nothing: the VM may have gone on to a third host.
  if (status.incarnation != incarnation_) {
    throw std::runtime_error("another receiver listens there now");
  }
  co_return status.status;
}

void OutgoingMigration::Source::end_inquiry() {
  if (!inquiry_) return;
  inquiry_->close();
  const std::lock_guard lock(mutex_);
  inquiry_bytes_ += inquiry_->bytes_sent();
  inquiry_bytes_back_ += inquiry_->bytes_received();
  inquiry_ = nullptr;
}

asio::awaitable<void> OutgoingMigration::Source::pause_before_retry(
    std::chrono::milliseconds& delay) {
  retry_.expires_after(delay);
  delay = std::min(delay * 2, kLongestRetry);
  boost::system::error_code cancelled;
  co_await retry_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

asio::awaitable<void> OutgoingMigration::Source::settle() {
  if (control_) control_->close();
  std::chrono::milliseconds delay = kFirstRetry;
  for (bool told = false;;) {
    std::string problem;
    bool settled = false;
    // The operator's word ends what is under way here.
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    try {
      settled = co_await ask_who_runs();
    } catch (const std::exception& error) {
      problem = error.what();
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    end_inquiry();
    if (settled) co_return;
    if (enter_doubt(problem)) {
      co_return stay(Outcome::failed,
                     "the link was lost during the handover; resumed here by force");
    }
    if (!std::exchange(told, true)) {
      update_counts();
      callbacks_.in_doubt(live());
    }
    co_await pause_before_retry(delay);
  }
}

/// True when it is settled who owns the VM. Throws when it is not, saying why.
asio::awaitable<bool> OutgoingMigration::Source::ask_who_runs() {
  const wire::VmStatus status = co_await inquire();
  if (status == wire::VmStatus::unknown) throw std::runtime_error("it does not know this VM");
  if (status == wire::VmStatus::refused) {
    stay(Outcome::failed, "the link was lost during the handover, and the destination refused");
    co_return true;
  }
  if (status == wire::VmStatus::running) {
    // The operator was mistaken, if he said that it does not run there.
    const std::lock_guard lock(mutex_);
    forced_ = false;
    commit_out_ = true;
  } else {
    if (!may_commit_again()) {
      inquiry_->send(FrameType::abort, wire::encode(wire::Reason{"resumed at the source"}));
      co_await inquiry_->drained();
      co_return false;
    }
    inquiry_->reset_on_close();
    inquiry_->send(FrameType::commit);
  }
  const Frame frame = co_await inquiry_->receive();
  if (frame.type == FrameType::refused) {
    stay(Outcome::failed,
         "the destination refused: " + wire::decode<wire::Reason>(frame.payload).reason);
    co_return true;
  }
  if (frame.type != FrameType::running) throw wire::ProtocolError("no answer from the peer");
  complete(wire::decode<wire::Running>(frame.payload));
  co_return true;
}

/// Either the operator has forced the VM to run here, or from now on and until this attempt has
/// ended he cannot any more.
bool OutgoingMigration::Source::may_commit_again() {
  const std::lock_guard lock(mutex_);
  commit_out_ = !forced_;
  return commit_out_;
}

/// Whether the operator has decided that the VM runs here.
bool OutgoingMigration::Source::enter_doubt(const std::string& problem) {
  const std::lock_guard lock(mutex_);
  commit_out_ = false;
  stage_ = Stage::in_doubt;
  report_.outcome = Outcome::in_doubt;
  report_.phase = "in doubt";
  report_.error = fmt::format("the link was lost during the handover: {}", problem);
  report_.owner = fmt::format(
      "in doubt: the VM is paused here and may run at {}. This process keeps asking there; "
      "'ferry set --to' gives it another address. If that host is known not to run the VM, "
      "'ferry resume --force' runs it here; if it does run it there, 'ferry stop' ends it here",
      to_string(options_.to));
  return forced_;
}

/// The guest already runs here again; a destination that holds a prepared copy waits for the word
/// that it can drop it.
asio::awaitable<void> OutgoingMigration::Source::keep_telling_abort() {
  const auto give_up = Clock::now() + kTellAbortFor;
  std::chrono::milliseconds delay = kFirstRetry;
  for (bool told = false; !told && Clock::now() < give_up;) {
    try {
      const wire::VmStatus status = co_await inquire();
      if (status == wire::VmStatus::prepared) {
        inquiry_->send(FrameType::abort, wire::encode(wire::Reason{"the VM stayed at the source"}));
        co_await inquiry_->drained();
      } else if (status == wire::VmStatus::running) {
        callbacks_.message(fmt::format(
            "the VM was resumed here by force and runs at {} too: stop one of them at once",
            to_string(options_.to)));
      }
      told = true;
    } catch (const std::exception&) {
      // Nobody there, or somebody else: try again.
    }
    end_inquiry();
    if (!told) co_await pause_before_retry(delay);
  }
}

std::string OutgoingMigration::Source::force_resume() {
  {
    const std::lock_guard lock(mutex_);
    if (stage_ != Stage::in_doubt) return "the VM is not in doubt here: nothing to force";
    if (commit_out_) {
      return "the destination answers again and is being told to run the VM: see 'ferry info' for "
             "what comes of it";
    }
    forced_ = true;
  }
  asio::post(context_, [this] {
    retry_.cancel();
    if (inquiry_) inquiry_->close();
    stop_dialling_.emit(asio::cancellation_type::terminal);
  });
  return {};
}

void OutgoingMigration::Source::finish() {
  ticker_.cancel();
  update_counts();
  Result result{live(), nullptr};
  if (result.report.outcome == Outcome::completed) {
    callbacks_.ended(std::move(result));
    machine_.reset();  // after the report is out: giving back RAM takes a while
  } else {
    machine_->on_end(nullptr);
    result.machine = std::move(machine_);
    callbacks_.ended(std::move(result));
  }
}

}  // namespace migration
