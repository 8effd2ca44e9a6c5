#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <ctime>
#include <exception>
#include <stdexcept>
#include <utility>

#include "migration/base/usage.hpp"
#include "migration/destination/receiver.hpp"
#include "migration/net/event_loop.hpp"

/// The destination's part of the handover: what has happened is told to the rules, which say what
/// is done. They are in docs/protocol.md, "Who owns the VM".
namespace migration {

namespace asio = boost::asio;
using handover::Action;
using wire::FrameType;

namespace {

/// A source that has not heard that the VM is here, or is not, may ask for so many timeouts.
constexpr int kTimeoutsToAnswer = 3;
/// While the source's word is awaited it is looked for so often in a timeout.
constexpr int kLooksInTimeout = 4;

/// Of a clock that goes on while this host sleeps.
handover::AwakeWatch::Time since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

IncomingMigration::Receiver::Stage IncomingMigration::Receiver::stage() const {
  const std::lock_guard lock(mutex_);
  return handover_.stage();
}

bool IncomingMigration::Receiver::allows(Event event) const {
  const std::lock_guard lock(mutex_);
  return handover_.allows(event);
}

void IncomingMigration::Receiver::happened(Event event) {
  Stage before{};
  Stage after{};
  handover::Step step;
  {
    const std::lock_guard lock(mutex_);
    before = handover_.stage();
    step = handover_.advance(event);
    after = handover_.stage();
  }
  follow(before, step, after);
}

void IncomingMigration::Receiver::happened(Event event, Failure why) {
  failure_ = std::move(why);
  happened(event);
}

void IncomingMigration::Receiver::follow(Stage before, const handover::Step& step, Stage after) {
  for (const Action action : step.actions) act(action);
  // What is done may have led on to another stage.
  if (after != before && after == stage()) entered(after);
}

void IncomingMigration::Receiver::act(Action action) {
  switch (action) {
    case Action::start_guest: return start_guest();
    case Action::drop_guest: return net::spawn(context_.get_executor(), drop_guest());
    case Action::send_prepared: return tell(FrameType::prepared, wire::encode(prepared_));
    case Action::send_running: return tell(FrameType::running, wire::encode(running_now()));
    case Action::send_ended:
      return tell(FrameType::ended, wire::encode(wire::Reason{"the VM has ended there"}));
    case Action::send_refused:
      return tell(FrameType::refused, wire::encode(wire::Reason{failure_.why}));
    case Action::send_acknowledged: return tell(FrameType::acknowledged);
    case Action::send_status_prepared: return tell_status(wire::VmStatus::prepared);
    case Action::send_status_running: return tell_status(wire::VmStatus::running);
    case Action::send_status_refused: return tell_status(wire::VmStatus::refused);
    case Action::close_link:
      if (control_) control_->close(std::make_exception_ptr(std::runtime_error(failure_.why)));
      return;
    case Action::close_earlier:
      if (earlier_) std::exchange(earlier_, nullptr)->close();
      return;
    case Action::send_accept:  // by serve_control, which has made it
    case Action::hand_on:      // by the owner of the machine
    default: return;           // those of the source
  }
}

void IncomingMigration::Receiver::entered(Stage stage) {
  const std::string_view text = handover::DestinationSide::advice(stage).text;
  switch (stage) {
    case Stage::prepared:
    case Stage::lacking: show(std::string(text)); return await_word();
    case Stage::prepared_unlinked:
    case Stage::lacking_unlinked:
      show(fmt::format("{} ({})", text, failure_.why));
      return callbacks_.message(fmt::format("{} ({})", text, failure_.why));
    case Stage::settled: callbacks_.settled(); [[fallthrough]];
    case Stage::fetching: return show(offer_.paused ? "arrived, paused" : "arrived, running");
    case Stage::running: return show(std::string(text));
    case Stage::fetching_unlinked: return fetch_link_lost();
    case Stage::ended:
      show(fmt::format("{}: this process stays for a while to tell its source so", text));
      return stay_to_answer();
    case Stage::refused: show(failure_.why); return stay_to_answer();
    case Stage::over: show(failure_.why); return net::spawn(context_.get_executor(), leave());
    default: return;
  }
}

void IncomingMigration::Receiver::show(std::string detail) {
  const std::lock_guard lock(mutex_);
  detail_ = std::move(detail);
}

void IncomingMigration::Receiver::tell(FrameType type, std::span<const std::byte> payload) {
  if (control_) control_->send(type, payload);
}

void IncomingMigration::Receiver::tell_status(wire::VmStatus status) {
  tell(FrameType::status, wire::encode(wire::Status{incarnation_, status}));
}

void IncomingMigration::Receiver::link_lost(const Failure& failure) {
  if (fetching() && fetcher_->has_all()) {  // it is not needed any more
    control_ = nullptr;
    return;
  }
  if (stage() == Stage::receiving) {
    const std::string why =
        fmt::format("the VM did not arrive and stays at the source: {}", failure.why);
    failure_ = {why, failure.protocol};
    act(Action::send_refused);  // where the link still stands, the source hears why
  } else {
    failure_ = failure;
    keeper_listens_ = false;
    if (const ConnectionPtr lost = std::exchange(control_, nullptr)) lost->close();
  }
  happened(Event::link_lost);
}

void IncomingMigration::Receiver::start_guest() {
  try {
    if (!offer_.paused) machine_->resume();
  } catch (const std::exception& error) {
    const std::string why = fmt::format("the VM cannot be resumed: {}", error.what());
    return happened(Event::start_failed, {why});
  }
  // The source hears of it before anything else is done: its downtime ends with this frame.
  happened(Event::started);
  state_.reset();
  verifier_.reset();
  hashes_.reset();
  std::optional<KeptAtSource> kept;
  if (has_keeper()) kept = {offer_.token, offer_.image_key};
  arrived_ = true;
  callbacks_.arrived(std::move(machine_), kept);
  if (!fetcher_) return target_.reset();
  if (fetcher_->missing() == 0) return all_here();
  tell_progress();
}

/// The source is to say within a timeout what becomes of the VM. What it said before this process
/// stood still for longer than one may be older than what it, or its operator, has decided since.
void IncomingMigration::Receiver::await_word() {
  awake_.emplace(std::min(options_.timeout, offer_.timeout), since_boot());
  word_due_ = Clock::now() + options_.timeout;
  look_for_word();
}

void IncomingMigration::Receiver::look_for_word() {
  word_.expires_after(std::min(options_.timeout, offer_.timeout) / kLooksInTimeout);
  word_.async_wait([this](boost::system::error_code cancelled) {
    const Stage now = stage();
    if (cancelled || (now != Stage::prepared && now != Stage::lacking) || slept()) return;
    if (Clock::now() < word_due_) return look_for_word();
    happened(Event::overdue, {"the source does not say what becomes of the VM"});
  });
}

bool IncomingMigration::Receiver::slept() {
  if (!awake_ || !awake_->gap(since_boot()) || !allows(Event::gap)) return false;
  happened(Event::gap, {"this process stood still for longer than the timeout"});
  return true;
}

/// The process ends thereafter.
void IncomingMigration::Receiver::stay_to_answer() {
  word_.expires_after(kTimeoutsToAnswer * options_.timeout);
  word_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) happened(Event::answer_over);
  });
}

/// What was to be told is with the kernel, or its connection is gone.
asio::awaitable<void> IncomingMigration::Receiver::told() {
  try {
    if (const ConnectionPtr control = control_) co_await control->drained();
  } catch (const std::exception&) {
    // The source finds out by the silence.
  }
}

/// Once the reason is on its way, or the link shows that it cannot be: giving RAM back takes a
/// while, and the guest may wait at the source.
asio::awaitable<void> IncomingMigration::Receiver::drop_guest() {
  co_await told();
  if (fetcher_) fetcher_->abandon();
  channels_.clear();
  // Returns when the fault thread is done with RAM, which goes with the machine.
  if (fetcher_) fetcher_->disconnect();
  verifier_.reset();
  machine_.reset();
}

/// Nothing is left to answer.
asio::awaitable<void> IncomingMigration::Receiver::leave() {
  word_.cancel();
  if (machine_) co_await drop_guest();
  co_await told();
  left_ = true;
  if (!arrived_) callbacks_.failed(failure_);
  if (declined_) declined_();
}

std::string IncomingMigration::Receiver::force_resume() {
  const std::lock_guard lock(mutex_);
  const Stage before = handover_.stage();
  if (!handover_.allows(Event::force)) {
    switch (before) {
      case Stage::prepared:
        return "the source is connected and about to hand the VM over: 'ferry cancel' it there";
      case Stage::lacking:
      case Stage::lacking_unlinked:
        return "pages of this VM are at the source alone: it runs only once the source is back";
      case Stage::listening:
      case Stage::receiving:
      case Stage::refused: return "no VM waits here for its source: nothing to force";
      default: return "nothing is in doubt here: there is nothing to force";
    }
  }
  const handover::Step step = handover_.advance(Event::force);
  asio::post(context_,
             [this, before, step, after = handover_.stage()] { follow(before, step, after); });
  return {};
}

void IncomingMigration::Receiver::decline(std::function<void()> done) {
  asio::post(context_, [this, done = std::move(done)] {
    if (left_) return done();
    declined_ = done;
    happened(allows(Event::decline) ? Event::decline : Event::guest_ended,
             {"the receiver was stopped"});
  });
}

}  // namespace migration
