#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

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
/// For so many it is waited until the destination has given back what the VM's devices need.
constexpr int kTimeoutsToTakeBack = 6;
/// A destination says one that counts, and at most one that crossed ours.
constexpr int kMostWords = 4;
constexpr const char* kStays = "the VM stayed at the source";

}  // namespace

void SourceMigration::Source::happened(Event event) {
  owner_.advance(event);
  follow();
}

void SourceMigration::Source::follow() {
  for (const Action action : owner_.take_due()) act(action);
}

void SourceMigration::Source::act(Action action) {
  switch (action) {
    case Action::stop_guest: return machine_->pause();
    case Action::run_guest:
      if (hold_.complete()) {
        trouble_ = run_guest();
      } else if (!taking_again_) {
        taking_again_ = true;
        net::spawn(context_.get_executor(), run_guest_again());
      }
      return;
    case Action::send_last_round: {
      const source::MemoryTransfer::LastWord word = transfer().last_word();
      return link_.send(word.type, wire::encode_round(word.round));
    }
    case Action::send_commit:
      // One that has not arrived when this side gives the connection up must not arrive later.
      if (link_.up()) link_.control().reset_on_close();
      return link_.send(FrameType::commit, wire::encode_commit(machine_->since_save()));
    case Action::send_abort:
      return link_.send(FrameType::abort,
                        wire::encode(wire::Reason{failure_ ? net::what(failure_) : kStays}));
    case Action::send_released:
      if (link_.up()) link_.control().deliver_on_close();  // Commit has arrived
      return link_.send(FrameType::released);
    case Action::close_link:
      // The keeper of the image stays connected.
      if (link_.up() && !keeper_) link_.control().close_when_drained(failure_, kWordGrace);
      return;
    case Action::warn_two_owners:
      if (!machine_->running()) {  // a disk has kept it from that
        return callbacks_.message(fmt::format(
            "the VM runs at {}. Here it is paused, and cannot be resumed: 'ferry stop' ends this "
            "process",
            to_string(options_.to)));
      }
      return callbacks_.message(fmt::format(
          "the VM was resumed here by force and runs at {} too: stop one of them at once",
          to_string(options_.to)));
    case Action::send_inquire:  // by inquire(), which has connected
    case Action::drop_guest:  // by finish(), once the report is out: giving back RAM takes a while
    default: return;          // those of the destination
  }
}

bool SourceMigration::Source::guest_is_over() {
  if (machine_->ended()) return true;
  if (local_.may_run()) return false;
  machine_->end({.kind = vmm::GuestEnd::Kind::crashed,
                 .message = "its memory belongs to the process to which it was handed over, "
                            "where the guest has run"});
  return true;
}

std::string SourceMigration::Source::run_guest() {
  try {
    machine_->throttle(0);
    if (guest_is_over()) return {};
    if (was_running_) {
      machine_->resume();
    } else {
      machine_->acquire();  // it may run again
    }
    return {};
  } catch (const std::exception& failure) {
    return failure.what();
  }
}

asio::awaitable<void> SourceMigration::Source::run_guest_again() {
  taking_again_ = true;
  trouble_.clear();
  try {
    if (!guest_is_over()) trouble_ = co_await hold_.take_again(options_.timeout);
  } catch (const std::exception& failure) {
    trouble_ = failure.what();
  }
  if (trouble_.empty()) trouble_ = run_guest();
  taking_again_ = false;
  taken_again_.cancel();
}

/// The guest runs again here. A destination that has got as far as `prepared` may hold what its
/// devices need alone, such as a disk, and gives that back when it hears `abort`.
asio::awaitable<void> SourceMigration::Source::take_back() {
  const auto give_up = Clock::now() + kTimeoutsToTakeBack * options_.timeout;
  redial_.start_over();
  if (taking_again_) {
    taken_again_.expires_at(Clock::time_point::max());
    boost::system::error_code over;
    co_await taken_again_.async_wait(asio::redirect_error(asio::use_awaitable, over));
  } else {
    co_await run_guest_again();
  }
  if (!trouble_.empty()) {
    callbacks_.message(fmt::format("the VM is here, paused until it can be resumed: {}", trouble_));
  }
  while (!trouble_.empty() && Clock::now() < give_up) {
    if (link_.up()) {
      co_await await_last_word();
    } else if (Side::tells(stage())) {
      co_await tell_by_inquiry();
    }
    co_await run_guest_again();
    if (!trouble_.empty()) co_await redial_.pause();
  }
}

void SourceMigration::Source::complete(std::string owner) {
  journal_.write([this](MigrationReport& report) {
    report.cpu_seconds_destination = running_.cpu_seconds;
    report.peak_rss_destination = running_.peak_rss;
  });
  journal_.completed(std::move(owner));
}

void SourceMigration::Source::stay() {
  std::string owner =
      was_running_ ? "the VM is here and runs on" : "the VM is here, paused as it was";
  if (machine_->ended()) {
    owner = "the guest has ended, here";
  } else if (!trouble_.empty()) {
    owner = fmt::format("the VM is here, and cannot be resumed: {}", trouble_);
  }
  const bool cancelled = owner_.granted() == Event::cancel;
  journal_.stayed(cancelled ? Outcome::cancelled : Outcome::failed, why_it_stays(), owner);
  try {
    machine_->dirty_log().stop();  // takes a while, and the guest runs already
  } catch (const std::exception& failure) {
    callbacks_.message(fmt::format("the VM's writes are still logged: {}", failure.what()));
  }
}

std::string SourceMigration::Source::why_it_stays() const {
  if (owner_.granted() != Event::force) return net::what(failure_);
  return post_copy_ ? "the destination was lost; resumed here by force, as of the handover"
                    : "the link was lost during the handover; resumed here by force";
}

/// That the destination knows who has the VM, if it says so in a moment. The report does not wait
/// for longer: it is told on after that.
asio::awaitable<void> SourceMigration::Source::await_last_word() {
  if (!link_.up()) co_return;
  try {
    for (int words = 0; Side::tells(stage()) && words < kMostWords; ++words) {
      on_word(co_await link_.control().answer(kWordGrace));
    }
    co_await link_.control().drained();
  } catch (const std::exception&) {
    happened(Event::link_lost);
    drop_link();
  }
}

/// To a destination that has not said that it knows who has the VM.
asio::awaitable<void> SourceMigration::Source::keep_telling() {
  const auto give_up = Clock::now() + (Side::stays(stage()) ? Clock::duration(kTellAbortFor)
                                                            : kTimeoutsToTell * options_.timeout);
  redial_.start_over();
  while (Side::tells(stage())) {
    if (Clock::now() >= give_up) {
      happened(Event::telling_over);
      break;
    }
    co_await tell_by_inquiry();
    if (Side::tells(stage())) co_await redial_.pause();
  }
}

/// Once; when nobody is there, or somebody else, it is to be done again.
asio::awaitable<void> SourceMigration::Source::tell_by_inquiry() {
  try {
    co_await inquire();
    for (int words = 0; Side::tells(stage()) && words < kMostWords; ++words) {
      on_word(co_await link_.control().answer(options_.timeout));
    }
    co_await link_.control().drained();
  } catch (const std::exception&) {
    happened(Event::link_lost);
  }
  drop_link();
}

/// Over there it can be read for as long as the VM is there; this process is about to end. Where
/// there is no link nobody is told.
asio::awaitable<void> SourceMigration::Source::tell_report() {
  if (!link_.up() || !accept_.features.has(wire::Feature::report)) co_return;
  link_.send(FrameType::report, wire::encode(live()));
  // Whoever writes it has its turn, and does so at once where there is room.
  co_await asio::post(context_, asio::use_awaitable);
}

void SourceMigration::Source::finish() {
  hold_.forget();  // the devices go with their machine
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
