#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"
#include "migration/destination/receiver.hpp"
#include "migration/net/event_loop.hpp"

/// The destination's part of the handover: nothing but Commit, or the operator, starts the VM, and
/// after every failure the process says who owns it. The rules are in docs/architecture.md,
/// "Handover".
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

void IncomingMigration::Receiver::prepare_if_complete() {
  if (!state_ || !last_round_ || round_ <= *last_round_) return;
  if (post_copy_ && !faults_connected_) return;
  if (!post_copy_) channels_.clear();
  // RAM is compared before the state is loaded, and the state loaded after the last page is in
  // place: KVM itself writes guest pages when it takes over kvmclock.
  auto difference = verify_ram();
  const auto start = std::chrono::steady_clock::now();
  // In post-copy loading waits for pages. When these do not come it is ended by zero pages.
  loading_ = post_copy_;
  if (post_copy_ && !fetcher_->connected()) return;  // why is on its way to this thread
  try {
    if (!difference) machine_->load(*state_);
    prepared_.restore_ms = ms_since(start);
    if (offer_.verify && !difference) {
      difference = vmm::first_difference(*state_, machine_->save());
    }
  } catch (const std::exception& error) {
    return give_up({fmt::format("the machine state cannot be loaded: {}", error.what())}, true);
  }
  loading_ = false;
  if (post_copy_ && fetcher_->abandoned()) return;
  if (difference) return give_up({"verification failed: " + *difference}, true);
  prepared_.verified = offer_.verify;
  prepared_.incarnation = incarnation_;
  enter(Stage::prepared, "holds the complete VM, paused, until the source commits");
  control_->send(FrameType::prepared, wire::encode(prepared_));
}

std::optional<std::string> IncomingMigration::Receiver::verify_ram() {
  if (!offer_.verify) return std::nullopt;
  if (!verifier_) verifier_.emplace(machine_->memory());
  if (!fetcher_) return verifier_->finish(nullptr);
  // Pages that were missing are checked one by one, as they come.
  const vmm::PageSet expected = fetcher_->expected();
  return verifier_->finish(&expected);
}

void IncomingMigration::Receiver::commit(const ConnectionPtr& answer_to) {
  try {
    if (!offer_.paused) machine_->resume();
  } catch (const std::exception& error) {
    return give_up({fmt::format("the VM cannot be resumed: {}", error.what())}, true);
  }
  // The source hears of it before anything else is done: its downtime ends with this frame.
  if (answer_to) answer_to->send(FrameType::running, wire::encode(running_now()));
  enter(Stage::running, offer_.paused ? "arrived, paused" : "arrived, running");
  state_.reset();
  verifier_.reset();
  hashes_.reset();
  std::optional<KeptAtSource> kept;
  if (has_keeper()) kept = {offer_.token, offer_.image_key};
  callbacks_.arrived(std::move(machine_), kept);
  if (!fetcher_) return target_.reset();
  if (fetcher_->missing() == 0) return all_here();
  tell_progress();
}

void IncomingMigration::Receiver::take_report(const Frame& frame) {
  auto report = wire::decode<MigrationReport>(frame.payload);
  const std::lock_guard lock(mutex_);
  report_ = std::move(report);
}

/// The source's last frame, which comes when it has done what it does after the handover.
asio::awaitable<void> IncomingMigration::Receiver::await_report(ConnectionPtr connection) {
  if (stage_ != Stage::running || report_ || !offer_.features.has(wire::Feature::report)) co_return;
  try {
    const Frame frame = co_await connection->answer(
        std::min<std::chrono::milliseconds>(options_.timeout, kReportPatience));
    take_frame(frame);
  } catch (const std::exception&) {
    // It is of use to people alone.
  }
}

asio::awaitable<void> IncomingMigration::Receiver::serve_inquiry(ConnectionPtr connection) {
  const Frame frame =
      co_await connection->first_frame(FrameType::inquire, "the peer asked nothing");
  const auto inquiry = wire::decode<wire::Inquire>(frame.payload);
  wire::Status status{incarnation_, wire::VmStatus::unknown};
  if (inquiry.token == offer_.token && stage_ != Stage::listening) {
    trust(connection);
    status.status = answer_to_inquiry();
  }
  connection->keep_alive();
  connection->send(FrameType::status, wire::encode(status));
  if (status.status == wire::VmStatus::prepared) {
    co_await await_word(connection);
  } else if (status.status == wire::VmStatus::running && !fetching()) {
    connection->send(FrameType::running, wire::encode(running_now()));
  }
  if (fetching()) {
    co_await take_up_link(connection);
  } else if (inquiry.keeper && has_keeper()) {
    co_await serve_keeper(connection);
  } else {
    co_await await_report(connection);
  }
  co_await connection->drained();
}

wire::VmStatus IncomingMigration::Receiver::answer_to_inquiry() {
  // A source that asks has given its connections up: what it sent is not going to be complete. And
  // a Commit that waits there is not its word any more: it may have been forced to run the VM.
  if (stage_ == Stage::receiving) link_lost({"the source came back with a new connection"});
  if (stage_ == Stage::prepared && control_) std::exchange(control_, nullptr)->close();
  // The operator's word came first, and is on its way to this thread.
  if (stage_ == Stage::prepared && take_link_back()) commit(nullptr);
  switch (stage_) {
    case Stage::prepared: return wire::VmStatus::prepared;
    case Stage::running: return wire::VmStatus::running;
    case Stage::gone: return wire::VmStatus::refused;
    case Stage::listening:
    case Stage::receiving: break;
  }
  return wire::VmStatus::unknown;
}

/// The source of a prepared VM is there again, and decides: no operator does meanwhile. True where
/// one has done so before.
bool IncomingMigration::Receiver::take_link_back() {
  const std::lock_guard lock(mutex_);
  link_lost_ = false;
  return forced_;
}

/// Of a source that was told that the VM is prepared. One that aborts though the VM runs here by
/// now, whoever started it, has to hear so: it must not run it too.
asio::awaitable<void> IncomingMigration::Receiver::await_word(ConnectionPtr connection) {
  bool commits = false;
  try {
    const Frame word = co_await connection->receive();
    commits = word.type == FrameType::commit;
    if (!commits && word.type != FrameType::abort) {
      throw wire::ProtocolError("the source neither committed nor aborted");
    }
  } catch (const std::exception& error) {
    const bool last = inquiry_ == connection;  // of those with the token
    if (last) inquiry_ = nullptr;
    if (last && stage_ == Stage::prepared) link_lost({error.what()});
    throw;
  }
  if (stage_ == Stage::running) {
    connection->send(FrameType::running, wire::encode(running_now()));
  } else if (stage_ == Stage::prepared && commits) {
    commit(connection);
  } else if (stage_ == Stage::prepared) {
    give_up({"the source kept the VM"}, false);
  }
}

void IncomingMigration::Receiver::link_lost(const Failure& failure) {
  if (stage_ == Stage::receiving) {
    const std::string why =
        fmt::format("the VM did not arrive and stays at the source: {}", failure.why);
    give_up({why, failure.protocol}, true);
  } else if (stage_ == Stage::prepared) {
    if (inquiry_) return;  // the source is there again, and about to decide
    const std::string what = fmt::format(
        "holds the complete VM, paused, and lost the link to the source ({}). Waits for "
        "the source to reconnect; if the source is known to be dead, 'ferry resume --force' runs "
        "the VM here",
        failure.why);
    {
      const std::lock_guard lock(mutex_);
      detail_ = what;
      link_lost_ = true;
    }
    callbacks_.message(what);
  } else if (fetching() && !fetcher_->has_all()) {
    fetch_link_lost(failure.why);
  } else {
    keeper_listens_ = false;
    control_ = nullptr;  // the keeper's, which comes back if it can
  }
}

void IncomingMigration::Receiver::give_up(const Failure& failure, bool tell) {
  if (stage_ == Stage::gone) return;
  // The source may be asking just now, on another connection than the one that was lost.
  for (const ConnectionPtr& connection : {control_, inquiry_}) {
    if (!tell || !connection) continue;
    connection->send(FrameType::refused, wire::encode(wire::Reason{failure.why}));
  }
  enter(Stage::gone, failure.why);
  net::spawn(context_.get_executor(), drain_and_fail(failure));
}

/// What was to be told is with the kernel, or its connection is gone.
asio::awaitable<void> IncomingMigration::Receiver::told() {
  const std::array<ConnectionPtr, 2> connections{control_, inquiry_};
  for (const ConnectionPtr& connection : connections) {
    try {
      if (connection) co_await connection->drained();
    } catch (const std::exception&) {
      // The source finds out by the silence.
    }
  }
}

/// Once the reason is on its way, or the link shows that it cannot be: giving RAM back takes a
/// while, and the guest may wait at the source.
asio::awaitable<void> IncomingMigration::Receiver::drain_and_fail(Failure failure) {
  co_await told();
  if (fetcher_) fetcher_->abandon();
  channels_.clear();
  // Returns when the fault thread is done with RAM, which goes with the machine.
  if (fetcher_) fetcher_->disconnect();
  verifier_.reset();
  machine_.reset();
  callbacks_.failed(failure);
}

asio::awaitable<void> IncomingMigration::Receiver::decline_when_told(std::function<void()> done) {
  co_await told();
  done();
}

std::string IncomingMigration::Receiver::force_resume() {
  {
    const std::lock_guard lock(mutex_);
    if (stage_ != Stage::prepared) return "no VM waits here for its source: nothing to force";
    if (post_copy_) {
      return "pages of this VM are at the source alone: it runs only once the source is back";
    }
    if (!link_lost_) {
      return "the source is connected and about to hand the VM over: 'ferry cancel' it there";
    }
    forced_ = true;
  }
  asio::post(context_, [this] {
    if (stage_ == Stage::prepared) commit(nullptr);
  });
  return {};
}

void IncomingMigration::Receiver::decline(std::function<void()> done) {
  asio::post(context_, [this, done = std::move(done)] {
    if (stage_ == Stage::receiving || stage_ == Stage::prepared) {
      give_up({"the receiver was stopped"}, true);
    } else if (fetching() && control_) {
      control_->send(FrameType::ended, wire::encode(wire::Reason{"the VM has ended there"}));
    }
    net::spawn(context_.get_executor(), decline_when_told(done));
  });
}

}  // namespace migration
