#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"
#include "migration/net/event_loop.hpp"
#include "migration/source/source.hpp"

/// Who owns the VM: what has happened is told to the rules, what they say is done, and the report
/// says it. The rules are in docs/protocol.md, "Who owns the VM".
namespace migration {

namespace asio = boost::asio;
using handover::Action;
using wire::FrameType;

namespace {

/// A destination that may hold the VM, which has stayed here, is told for so long.
constexpr std::chrono::minutes kTellAbortFor{10};
/// One that has the VM, and may not know that this is known: for so many timeouts.
constexpr int kTimeoutsToTell = 3;
constexpr const char* kStays = "the VM stayed at the source";

}  // namespace

OutgoingMigration::Source::Stage OutgoingMigration::Source::stage() const {
  const std::lock_guard lock(mutex_);
  return handover_.stage();
}

void OutgoingMigration::Source::happened(Event event) {
  {
    const std::lock_guard lock(mutex_);
    say(handover_.advance(event).actions);
  }
  follow();
}

void OutgoingMigration::Source::say(const handover::Actions& actions) {
  due_.insert(due_.end(), actions.begin(), actions.end());
}

/// Also what was said when a wish was granted in another thread.
void OutgoingMigration::Source::follow() {
  std::vector<Action> due;
  {
    const std::lock_guard lock(mutex_);
    due.swap(due_);
  }
  for (const Action action : due) act(action);
}

void OutgoingMigration::Source::act(Action action) {
  const auto tell = [this](FrameType type, std::span<const std::byte> payload = {}) {
    if (control_) control_->send(type, payload);
  };
  switch (action) {
    case Action::stop_guest: return machine_->pause();
    case Action::run_guest: return run_guest();
    case Action::send_last_round:
      return tell(server_ ? FrameType::post_copy : FrameType::last_round,
                  wire::encode_round(last_round_));
    case Action::send_commit:
      // One that has not arrived when this side gives the connection up must not arrive later.
      if (control_) control_->reset_on_close();
      return tell(FrameType::commit);
    case Action::send_abort:
      return tell(FrameType::abort,
                  wire::encode(wire::Reason{failure_ ? net::what(failure_) : kStays}));
    case Action::send_released:
      if (control_) control_->deliver_on_close();  // Commit has arrived
      return tell(FrameType::released);
    case Action::close_link:
      // The keeper of the image stays connected.
      if (control_ && !keeper_) control_->close_when_drained(failure_, kWordGrace);
      return;
    case Action::warn_two_owners:
      return callbacks_.message(fmt::format(
          "the VM was resumed here by force and runs at {} too: stop one of them at once",
          to_string(options_.to)));
    case Action::send_inquire:  // by inquire(), which has connected
    case Action::drop_guest:  // by finish(), once the report is out: giving back RAM takes a while
    default: return;          // those of the destination
  }
}

void OutgoingMigration::Source::run_guest() {
  trouble_.clear();
  try {
    machine_->throttle(0);
    if (was_running_ && !machine_->ended()) machine_->resume();
  } catch (const std::exception& failure) {
    trouble_ = failure.what();
  }
}

void OutgoingMigration::Source::complete(std::string owner) {
  const std::lock_guard lock(mutex_);
  report_.outcome = Outcome::completed;
  report_.error = std::nullopt;
  report_.phase = "completed";
  report_.progress = Progress::kDone;
  report_.owner = std::move(owner);
  report_.total_ms = ms_since(start_);
  report_.cpu_seconds_destination = running_.cpu_seconds;
  report_.peak_rss_destination = running_.peak_rss;
}

void OutgoingMigration::Source::stay() {
  run_guest();
  {
    const std::lock_guard lock(mutex_);
    const bool was_stopped = stopped_at_ != Clock::time_point{};
    report_.outcome = wish_ == Event::cancel ? Outcome::cancelled : Outcome::failed;
    if (wish_ == Event::force) {
      report_.error = server_
                          ? "the destination was lost; resumed here by force, as of the handover"
                          : "the link was lost during the handover; resumed here by force";
    } else {
      report_.error = net::what(failure_);
    }
    report_.phase = to_string(report_.outcome);
    if (machine_->ended()) {
      report_.owner = "the guest has ended, here";
    } else if (!trouble_.empty()) {
      report_.owner = fmt::format("the VM is here, and cannot be resumed: {}", trouble_);
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

/// That the destination knows who has the VM, if it says so in a moment. The report does not wait
/// for longer: it is told on after that.
asio::awaitable<void> OutgoingMigration::Source::await_last_word() {
  if (!control_) co_return;
  try {
    while (Side::tells(stage())) take_word(co_await control_->answer(kWordGrace));
    co_await control_->drained();
  } catch (const std::exception&) {
    happened(Event::link_lost);
    drop_connections();
  }
}

/// To a destination that has not said that it knows who has the VM.
asio::awaitable<void> OutgoingMigration::Source::keep_telling() {
  const auto give_up = Clock::now() + (Side::stays(stage()) ? Clock::duration(kTellAbortFor)
                                                            : kTimeoutsToTell * options_.timeout);
  std::chrono::milliseconds delay = kFirstRetry;
  while (Side::tells(stage())) {
    if (Clock::now() >= give_up) {
      happened(Event::telling_over);
      break;
    }
    try {
      co_await inquire();
      while (Side::tells(stage())) take_word(co_await control_->answer(options_.timeout));
      if (control_) co_await control_->drained();
    } catch (const std::exception&) {
      // Nobody there, or somebody else: try again.
      happened(Event::link_lost);
    }
    drop_connections();
    if (Side::tells(stage())) co_await pause_before_retry(delay);
  }
}

/// Over there it can be read for as long as the VM is there; this process is about to end. Where
/// there is no link nobody is told.
asio::awaitable<void> OutgoingMigration::Source::tell_report() {
  if (!control_ || !features_.has(wire::Feature::report)) co_return;
  control_->send(FrameType::report, wire::encode(live()));
  // Whoever writes it has its turn, and does so at once where there is room.
  co_await asio::post(context_, asio::use_awaitable);
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
