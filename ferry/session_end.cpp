#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

#include "ferry/say.hpp"
#include "ferry/session.hpp"
#include "ferry/signals.hpp"
#include "migration/net/event_loop.hpp"
#include "vmm/text/json_text.hpp"

/// How the process ends: what signals and Ctrl-A X ask for, and its last acts.
namespace ferry {

namespace asio = boost::asio;
using migration::Outcome;

namespace {

/// How long a reader that stalls can delay the end of the process.
constexpr std::chrono::seconds kFlushLimit{5};
constexpr std::chrono::seconds kAnswerLimit{2};
/// The other side is told for three timeouts at most; a thread that hangs delays the end no more.
constexpr int kTimeoutsToAnswer = 4;
/// A shell's number of a death by signal.
constexpr int kSignalStatus = 128;

}  // namespace

void Session::wait_for_signal() {
  signals_.async_wait([this](boost::system::error_code cancelled, int number) {
    if (cancelled) return;
    wait_for_signal();  // first: whatever becomes of this one, the next is heard
    signalled(number);
  });
}

void Session::signalled(int number) {
  // Without a terminal that could hang up it is a log's rotation.
  if (number == SIGHUP && !had_terminal_ && console_->reopen_file()) return;
  end(kSignalStatus + number);
}

void Session::end(int status) {
  const auto now = std::chrono::steady_clock::now();
  if (now < asked_to_end_ + kSameWish) return;
  asked_to_end_ = now;
  if (exit_status_) {
    say("ends at once: nobody waits for the guest's last output or for answers any more");
    return context_.stop();
  }
  if (lent()) return end_migration(status);
  if (machine_) machine_->pause();
  leave(status);
}

/// As `ferry stop` does, the migration is cancelled first. Where it is too late for that the VM
/// needs this process until it has all that is here, also while the link is lost.
void Session::end_migration(int status) {
  const Outcome outcome = outgoing_->live().outcome;
  if (ending_ || (outcome == Outcome::in_doubt && !outgoing_->serving())) return end_now(status);
  ending_ = status;
  if (outcome == Outcome::completed) {
    say("the VM has moved: this process ends once its image is kept or given up");
  } else if (outgoing_->serving()) {
    say("the VM runs elsewhere and lacks pages that are here: this process ends once they have "
        "gone. Another signal or Ctrl-A X ends it now, and with it that VM");
  } else if (outgoing_->cancel().empty()) {
    say("cancels the migration, then ends with the VM. Another signal or Ctrl-A X does not wait "
        "for the other side");
  } else {
    say("the VM is being handed over: this process ends once that is settled. Another signal or "
        "Ctrl-A X does not wait, and may end the VM");
  }
}

void Session::end_now(int status) {
  auto report = outgoing_->live();
  if (report.outcome == Outcome::running || report.outcome == Outcome::in_doubt) {
    report.error = "the process that had the VM was made to end";
    if (outgoing_->serving()) {
      report.owner = "the VM ran elsewhere and lacks pages that were here alone: it is lost";
      report.outcome = Outcome::in_doubt;
    } else if (outgoing_->cancel().empty()) {  // then nothing has been handed over, nor will be
      report.owner =
          "the VM has ended with this process; where it was to go, it may wait, paused, to be "
          "stopped";
      report.outcome = Outcome::failed;
    } else {
      report.owner = "unless the VM runs at the other side, it is lost";
      report.outcome = Outcome::in_doubt;
    }
  }
  say("ends now: " + report.owner);
  if (watcher_) {
    std::exchange(watcher_, nullptr)->end(vmm::json_text(migration::to_json(report)) + '\n');
  }
  leave(status);
}

void Session::leave(int status) {
  if (exit_status_) return;
  exit_status_ = status;
  migration::net::spawn(context_.get_executor(), finish());
}

/// Also who has yet to wait for it.
void Session::wake(asio::steady_timer& timer) {
  timer.expires_at(asio::steady_timer::time_point::min());
}

asio::awaitable<void> Session::finish() {
  if (incoming_) {
    left_.expires_after(kTimeoutsToAnswer * timeout_);
    incoming_->decline([this] { asio::post(context_, [this] { wake(left_); }); });
  }
  if (const std::size_t left = co_await console_->flush(kFlushLimit); left > 0) {
    say(fmt::format("dropped the guest's last {} bytes of output: nobody reads them", left));
  }
  // Who asks what became of the VM is to hear it here.
  boost::system::error_code cancelled;
  if (incoming_) co_await left_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  const bool moved = lent() && outgoing_->live().outcome == Outcome::completed;
  if (moved && !outgoing_->done()) {
    co_await told_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
  if (api_) co_await api_->finish(kAnswerLimit);
  context_.stop();
}

}  // namespace ferry
