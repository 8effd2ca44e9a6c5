#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <utility>

#include "migration/destination/destination.hpp"
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

}  // namespace

DestinationMigration::Failure DestinationMigration::Destination::failure_of(
    const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const wire::ProtocolError& error) {
    return {error.what(), true};
  } catch (const std::exception& error) {
    return {error.what()};
  }
}

bool DestinationMigration::Destination::fetching() const {
  const Stage now = stage();
  return now == Stage::fetching || now == Stage::fetching_unlinked;
}

bool DestinationMigration::Destination::is_whole() const {
  const Stage now = stage();
  return now == Stage::running || now == Stage::settled || now == Stage::ended;
}

void DestinationMigration::Destination::happened(Event event) { follow(ownership_.advance(event)); }

void DestinationMigration::Destination::happened(Event event, Failure why) {
  failure_ = std::move(why);
  happened(event);
}

void DestinationMigration::Destination::follow(const destination::Ownership::Change& change) {
  for (const Action action : change.step.actions) act(action);
  // What is done may have led on to another stage.
  if (change.after != change.before && change.after == stage()) entered(change.after);
}

void DestinationMigration::Destination::act(Action action) {
  switch (action) {
    case Action::start_guest: return start_guest();
    case Action::drop_guest: return net::spawn(context_.get_executor(), drop_guest());
    case Action::send_prepared:
      return link_.send(
          FrameType::prepared,
          wire::encode(wire::Prepared{incarnation_, loader_->restore_ms(), loader_->verifies()}));
    case Action::send_running: return link_.send(FrameType::running, wire::encode(running_now()));
    case Action::send_ended:
      return link_.send(FrameType::ended, wire::encode(wire::Reason{"the VM has ended there"}));
    case Action::send_refused:
      give_back();
      return link_.send(FrameType::refused, wire::encode(wire::Reason{failure_.why}));
    case Action::send_acknowledged: return link_.acknowledge();
    case Action::send_status_prepared: return tell_status(wire::VmStatus::prepared);
    case Action::send_status_running: return tell_status(wire::VmStatus::running);
    case Action::send_status_refused: return tell_status(wire::VmStatus::refused);
    case Action::close_link:
      return link_.close(std::make_exception_ptr(std::runtime_error(failure_.why)));
    case Action::close_earlier: return link_.close_earlier();
    case Action::send_accept:  // by take_vm, which knows what is in it
    case Action::hand_on:      // by the owner of the machine
    default: return;           // those of the source
  }
}

/// What the devices of a VM that will not run here need: the source takes it when it hears so.
void DestinationMigration::Destination::give_back() {
  if (!machine_) return;
  try {
    machine_->release();
  } catch (const std::exception& error) {
    callbacks_.message(fmt::format("the VM's devices hold on to the host: {}", error.what()));
  }
}

void DestinationMigration::Destination::entered(Stage stage) {
  const std::string text(handover::DestinationSide::advice(stage).text);
  switch (stage) {
    case Stage::prepared:
    case Stage::lacking: board_.show(text); return await_word();
    case Stage::prepared_unlinked:
    case Stage::lacking_unlinked:
      board_.show(fmt::format("{} ({})", text, failure_.why));
      return callbacks_.message(fmt::format("{} ({})", text, failure_.why));
    case Stage::settled: callbacks_.settled(); [[fallthrough]];
    case Stage::fetching:
      return board_.show(offer_.paused ? "arrived, paused" : "arrived, running");
    case Stage::running: return board_.show(text);
    case Stage::fetching_unlinked: return fetch_link_lost();
    case Stage::ended:
      board_.show(fmt::format("{}: this process stays for a while to tell its source so", text));
      return stay_to_answer();
    case Stage::refused: board_.show(failure_.why); return stay_to_answer();
    case Stage::over:
      board_.show(failure_.why);
      return net::spawn(context_.get_executor(), take_leave());
    default: return;
  }
}

void DestinationMigration::Destination::tell_status(wire::VmStatus status) {
  link_.send(FrameType::status, wire::encode(wire::Status{incarnation_, status}));
}

void DestinationMigration::Destination::link_lost(const Failure& failure) {
  if (fetching() && fetch_.has_all()) return link_.forget();  // it is not needed any more
  if (stage() == Stage::receiving) {
    const std::string why =
        fmt::format("the VM did not arrive and stays at the source: {}", failure.why);
    failure_ = {why, failure.protocol};
    act(Action::send_refused);  // where the link still stands, the source hears why
  } else {
    failure_ = failure;
    image_keeper_.disconnect();
    link_.lose();
  }
  happened(Event::link_lost);
}

void DestinationMigration::Destination::run_guest() {
  const auto claim = local_ ? machine_->memory().claim() : nullptr;
  if (claim && !claim->take(vmm::RamClaim::Side::destination)) {
    throw std::runtime_error("its memory has gone on at the source");
  }
  try {
    machine_->catch_up();
    if (!offer_.paused) machine_->resume();
  } catch (...) {
    // Devices of one that has begun to run may have written its memory: it is not the source's.
    if (claim && !machine_->running()) claim->give_back(vmm::RamClaim::Side::destination);
    throw;
  }
}

void DestinationMigration::Destination::start_guest() {
  try {
    run_guest();
  } catch (const std::exception& error) {
    const std::string why = fmt::format("the VM cannot be resumed: {}", error.what());
    return happened(Event::start_failed, {why});
  }
  // The source hears of it before anything else is done: its downtime ends with this frame.
  happened(Event::started);
  loader_.reset();
  image_.stop_comparing();
  std::optional<KeptAtSource> kept;
  if (has_image_keeper()) kept = {offer_.token, offer_.image_key};
  arrived_ = true;
  callbacks_.arrived(std::move(machine_), kept);
  if (!fetch_.started()) return channels_->finish();
  if (fetch_.missing() == 0) return all_here();
  tell_progress();
  // The source has lost the link before, and has its word said by an inquiry.
  if (!fetch_.connected() && link_.is_up()) take_up_link(link_.current());
}

/// The source is to say within a timeout what becomes of the VM.
void DestinationMigration::Destination::await_word() {
  word_.await(options_.timeout, std::min(options_.timeout, offer_.timeout));
}

bool DestinationMigration::Destination::slept() {
  if (!word_.stood_still() || !allows(Event::gap)) return false;
  happened(Event::gap, {"this process stood still for longer than the timeout"});
  return true;
}

/// The process ends thereafter.
void DestinationMigration::Destination::stay_to_answer() {
  farewell_.stay(kTimeoutsToAnswer * options_.timeout, [this] { happened(Event::answer_over); });
}

/// Once the reason is on its way, or the link shows that it cannot be: giving RAM back takes a
/// while, and the guest may wait at the source.
asio::awaitable<void> DestinationMigration::Destination::drop_guest() {
  co_await link_.drained();
  fetch_.abandon();
  channels_->close();
  // Returns when the fault thread is done with RAM, which goes with the machine.
  fetch_.disconnect();
  loader_.reset();
  machine_.reset();
}

/// Nothing is left to answer.
asio::awaitable<void> DestinationMigration::Destination::take_leave() {
  if (machine_) co_await drop_guest();
  co_await link_.drained();
  if (!arrived_) callbacks_.failed(failure_);
  farewell_.finish();
}

std::string DestinationMigration::Destination::force_resume() {
  const destination::Ownership::Change change = ownership_.advance(Event::force);
  if (change.step.allowed) {
    asio::post(context_, [this, change] { follow(change); });
    return {};
  }
  switch (change.before) {
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

void DestinationMigration::Destination::decline(std::function<void()> done) {
  asio::post(context_, [this, done = std::move(done)] {
    farewell_.when_done(done);
    happened(allows(Event::decline) ? Event::decline : Event::guest_ended,
             {"the receiver was stopped"});
  });
}

}  // namespace migration
