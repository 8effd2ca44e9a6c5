#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

#include "migration/source/source.hpp"

/// The source after the link was lost at or after Commit: it asks who runs the VM until it is told,
/// or until the operator decides. The rules are in docs/architecture.md, "Handover".
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

constexpr std::chrono::milliseconds kLongestRetry{5'000};
/// A destination that missed the news that the VM stayed here is told for so long.
constexpr std::chrono::minutes kTellAbortFor{10};
/// A link that is lost while pages are being served is told to people once it has been away for so
/// many timeouts: until then it may well come back by itself.
constexpr int kTimeoutsUntilTold = 3;

}  // namespace

asio::awaitable<wire::VmStatus> OutgoingMigration::Source::inquire() {
  const wire::Inquire question{.token = token_, .incarnation = incarnation_};
  const wire::VmStatus status = co_await inquiry_.ask(options_.to, question, options_.timeout);
  peer_ = inquiry_.peer();
  co_return status;
}

asio::awaitable<void> OutgoingMigration::Source::pause_before_retry(
    std::chrono::milliseconds& delay) {
  retry_.expires_after(delay);
  delay = std::min(delay * 2, kLongestRetry);
  boost::system::error_code cancelled;
  co_await retry_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

bool OutgoingMigration::Source::ran_there() const {
  const std::lock_guard lock(mutex_);
  return ran_there_;
}

asio::awaitable<void> OutgoingMigration::Source::settle() {
  link_lost_at_ = Clock::now();
  if (ran_there() && running_.missing == std::exchange(missing_at_loss_, running_.missing)) {
    // Nothing has come through since the link was lost before: not at once again.
    co_await pause_before_retry(retry_delay_);
  } else {
    retry_delay_ = kFirstRetry;
  }
  for (;;) {
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
    inquiry_.end();
    if (settled) co_return;
    drop_connections();
    if (enter_doubt(problem)) {
      co_return stay(Outcome::failed,
                     server_ ? "the destination was lost; resumed here by force, as of the handover"
                             : "the link was lost during the handover; resumed here by force");
    }
    tell_doubt();
    co_await pause_before_retry(retry_delay_);
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
  std::optional<Frame> frame;
  if (status == wire::VmStatus::running) {
    runs_there();
  } else if (may_commit_again()) {
    inquiry_.connection().reset_on_close();
    inquiry_.connection().send(FrameType::commit);
  } else {
    frame = co_await tell_abort_again("resumed at the source");
    if (!frame) co_return false;
    if (frame->type == FrameType::running) runs_there();
  }
  if (!frame) frame = co_await inquiry_.connection().answer(options_.timeout);
  if (frame->type == FrameType::refused) {
    stay(Outcome::failed,
         "the destination refused: " + wire::decode<wire::Reason>(frame->payload).reason);
    co_return true;
  }
  if (server_ && frame->type == FrameType::ended) {
    guest_ended_there(wire::decode<wire::Reason>(frame->payload).reason);
    co_return true;
  }
  if (frame->type != FrameType::running) throw wire::ProtocolError("no answer from the peer");
  const auto running = wire::decode<wire::Running>(frame->payload);
  if (running.missing > 0) {
    co_await take_up_link(running);
  } else {
    complete(running);
    control_ = inquiry_.take();  // to tell the report on
  }
  co_return true;
}

/// The operator was mistaken, if he said that it does not.
void OutgoingMigration::Source::runs_there() {
  const std::lock_guard lock(mutex_);
  forced_ = false;
  commit_out_ = true;
}

/// To a destination that holds the VM prepared. It answers where the VM runs by now; else it obeys
/// and hangs up.
asio::awaitable<std::optional<Frame>> OutgoingMigration::Source::tell_abort_again(
    const char* reason) {
  inquiry_.connection().send(FrameType::abort, wire::encode(wire::Reason{reason}));
  co_await inquiry_.connection().drained();
  try {
    co_return co_await inquiry_.connection().answer(options_.timeout);
  } catch (const std::exception&) {
    co_return std::nullopt;
  }
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
  if (server_) {
    report_.phase = "link lost";
    report_.error = fmt::format("the link to the destination is lost: {}", problem);
    report_.owner = fmt::format(
        "{}, if that process lives, and lacks pages that are here. It is paused "
        "here, as of the handover, with all its memory. This process keeps dialling there; 'ferry "
        "set --to' gives it another address. If that process is known to be dead, 'ferry resume "
        "--force' runs the VM here from that moment on, and what the guest did since is lost",
        is_there());
    return forced_;
  }
  report_.phase = "in doubt";
  report_.error = fmt::format("the link was lost during the handover: {}", problem);
  report_.owner = fmt::format(
      "in doubt: the VM is paused here and may run at {}. This process keeps asking there; "
      "'ferry set --to' gives it another address. If that host is known not to run the VM, "
      "'ferry resume --force' runs it here; if it does run it there, 'ferry stop' ends it here",
      to_string(options_.to));
  return forced_;
}

/// Once, and not for a link that may be back in a moment.
void OutgoingMigration::Source::tell_doubt() {
  if (live().outcome == Outcome::in_doubt) return;
  if (server_ && Clock::now() - link_lost_at_ < kTimeoutsUntilTold * options_.timeout) return;
  {
    const std::lock_guard lock(mutex_);
    report_.outcome = Outcome::in_doubt;
  }
  update_counts();
  callbacks_.in_doubt(live());
}

/// The guest already runs here again; a destination that holds a prepared copy waits for the word
/// that it can drop it.
asio::awaitable<void> OutgoingMigration::Source::keep_telling_abort() {
  const auto give_up = Clock::now() + kTellAbortFor;
  std::chrono::milliseconds delay = kFirstRetry;
  for (bool told = false; !told && Clock::now() < give_up;) {
    try {
      const wire::VmStatus status = co_await inquire();
      bool runs = status == wire::VmStatus::running;
      if (status == wire::VmStatus::prepared) {
        const auto answer = co_await tell_abort_again("the VM stayed at the source");
        runs = answer && answer->type == FrameType::running;
      }
      if (runs) {
        callbacks_.message(fmt::format(
            "the VM was resumed here by force and runs at {} too: stop one of them at once",
            to_string(options_.to)));
      }
      told = true;
    } catch (const std::exception&) {
      // Nobody there, or somebody else: try again.
    }
    inquiry_.end();
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
    inquiry_.close();
    interrupt_.emit(asio::cancellation_type::terminal);
  });
  return {};
}

}  // namespace migration
