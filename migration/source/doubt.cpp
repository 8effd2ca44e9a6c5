#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>

#include "migration/source/inquiry.hpp"
#include "migration/source/source.hpp"

/// The source after the link was lost at or after Commit: it asks who runs the VM until it is told,
/// or until the operator decides. The rules are in docs/protocol.md, "Who owns the VM".
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

constexpr std::chrono::milliseconds kLongestRetry{5'000};
/// A link that is lost while pages are being served is told to people once it has been away for so
/// many timeouts: until then it may well come back by itself.
constexpr int kTimeoutsUntilTold = 3;
constexpr const char* kRefused =
    "the link was lost during the handover, and the destination refused";

}  // namespace

/// The inquiry is the link from now on.
asio::awaitable<void> OutgoingMigration::Source::inquire() {
  net::Socket socket = co_await net::dial(options_.to, options_.timeout);
  peer_ = net::peer_address(socket, options_.to);
  control_ = std::make_shared<net::Connection>(std::move(socket), options_.timeout);
  happened(Event::connected);
  const wire::Inquire question{.token = token_, .incarnation = incarnation_};
  switch (co_await ask(*control_, question, options_.timeout)) {
    case wire::VmStatus::prepared: co_return happened(Event::status_prepared);
    case wire::VmStatus::running: co_return happened(Event::status_running);
    case wire::VmStatus::refused:
      if (!Side::stays(stage())) failure_ = std::make_exception_ptr(std::runtime_error(kRefused));
      co_return happened(Event::status_refused);
    case wire::VmStatus::unknown: break;
  }
  happened(Event::status_unknown);
  throw std::runtime_error("it does not know this VM");
}

asio::awaitable<void> OutgoingMigration::Source::pause_before_retry(
    std::chrono::milliseconds& delay) {
  retry_.expires_after(delay);
  delay = std::min(delay * 2, kLongestRetry);
  boost::system::error_code cancelled;
  co_await retry_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

asio::awaitable<void> OutgoingMigration::Source::settle() {
  link_lost_at_ = Clock::now();
  if (Side::serves(stage()) &&
      running_.missing == std::exchange(missing_at_loss_, running_.missing)) {
    // Nothing has come through since the link was lost before: not at once again.
    co_await pause_before_retry(retry_delay_);
  } else {
    retry_delay_ = kFirstRetry;
  }
  while (Side::searches(stage())) {
    std::string problem;
    // The operator's word ends what is under way here.
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    try {
      co_await ask_who_runs();
    } catch (const std::exception& error) {
      problem = error.what();
      happened(Event::link_lost);
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (!Side::searches(stage())) break;
    drop_connections();
    tell_doubt(problem);
    co_await pause_before_retry(retry_delay_);
  }
  follow();  // the operator may have decided
}

/// Throws when it stays in doubt who owns the VM, saying why.
asio::awaitable<void> OutgoingMigration::Source::ask_who_runs() {
  co_await inquire();
  if (stage() == Stage::committed || stage() == Stage::serving) {
    take_word(co_await control_->answer(options_.timeout));
  }
  if (stage() == Stage::serving) co_await take_up_link();
}

/// What is told while the destination is searched for.
void OutgoingMigration::Source::tell_doubt(const std::string& problem) {
  const handover::Advice advice = Side::advice(stage());
  {
    const std::lock_guard lock(mutex_);
    report_.phase = server_ ? "link lost" : "in doubt";
    report_.error = fmt::format(
        "the link {}: {}", server_ ? "to the destination is lost" : "was lost during the handover",
        problem);
    report_.owner = fmt::format(fmt::runtime(advice.text), to_string(options_.to));
    if (report_.outcome == Outcome::in_doubt) return;
    // A link that is lost while pages are served may be back in a moment.
    if (server_ && Clock::now() - link_lost_at_ < kTimeoutsUntilTold * options_.timeout) return;
    report_.outcome = Outcome::in_doubt;
  }
  update_counts();
  callbacks_.in_doubt(live());
}

std::string OutgoingMigration::Source::force_resume() {
  const std::lock_guard lock(mutex_);
  if (!handover_.allows(Event::force)) {
    const bool again =
        handover_.stage() == Stage::committed && report_.outcome == Outcome::in_doubt;
    return again ? "the destination answers again and is being told to run the VM: see 'ferry "
                   "info' for what comes of it"
                 : "the VM is not in doubt here: nothing to force";
  }
  wish_ = Event::force;
  say(handover_.advance(Event::force).actions);
  asio::post(context_, [this] {
    follow();
    retry_.cancel();
    if (control_) control_->close();
    interrupt_.emit(asio::cancellation_type::terminal);
  });
  return {};
}

}  // namespace migration
