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

/// The stop: the guest's last pages and its state go over, then the VM itself. The rules are in
/// docs/protocol.md, "Who owns the VM".
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

constexpr std::chrono::milliseconds kPaceStep{100};
/// Bytes per second that either side digests at least, on a slow and busy host.
constexpr double kVerifyRate = 100e6;
constexpr const char* kCancelled = "cancelled by request";

}  // namespace

asio::awaitable<void> OutgoingMigration::Source::hand_over(bool post_copy) {
  phase("stopped");
  stopped_at_ = Clock::now();
  happened(Event::guest_stopped);
  if (stage() != Stage::stopped) throw std::runtime_error(kCancelled);
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
  // In time, whatever else shows that it lives: until then the VM runs nowhere.
  take_word(co_await control_->answer(options_.timeout));
}

asio::awaitable<void> OutgoingMigration::Source::send_last_pages() {
  const auto start = Clock::now();
  const std::uint32_t number = driver_.next_round();
  const auto round =
      options_.mode == Mode::stop_and_copy && !reuses()
          ? std::make_shared<PreCopyRound>(number, machine_->memory(), nullptr)
          : std::make_shared<PreCopyRound>(number, machine_->memory(), nullptr, harvest_unsent());
  bound_stop(round->all().value_or(resident_bytes() / vmm::kPageSize));
  last_round_ = number;
  if (!options_.verify) happened(Event::all_sent);
  co_await send_round(round, PreCopyDriver::Kind::last);
  landed_at_ = Clock::now();
  if (options_.verify) {
    co_await send_digests(nullptr);
    happened(Event::all_sent);
  }
  const std::lock_guard lock(mutex_);
  report_.phases_ms.last_pages = ms_between(start, landed_at_);
  count_pages();
}

/// Of the pages that the destination has: all that were ever touched but for the missing ones.
asio::awaitable<void> OutgoingMigration::Source::send_digests(const vmm::PageSet* missing) {
  phase("verifying");
  for (const vmm::PageRange& piece : pages_to_digest(machine_->memory(), missing)) {
    const wire::Bytes digests = wire::encode_digests(piece, digest(machine_->memory(), piece));
    control_->send(FrameType::digests, digests);
    co_await control_->drained();
    digest_bytes_ += digests.size();
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

/// The guest must not stand for ever for a destination that lives and does nothing.
void OutgoingMigration::Source::bound_stop(std::uint64_t pages_left) {
  sent_before_stop_ = counters_.wire_bytes;
  stop_.emplace(handover::StopNeeds{.bytes_left = pages_left * vmm::kPageSize,
                                    .cap = static_cast<double>(limiter_.rate()),
                                    .measured = driver_.link_rate(),
                                    .verify_bytes = options_.verify ? resident_bytes() : 0,
                                    .verify_rate = kVerifyRate,
                                    .timeout = options_.timeout},
                stopped_at_);
}

/// The destination has all that it needs to run the VM. It is told to, if nobody has decided
/// otherwise.
void OutgoingMigration::Source::take_prepared(const Frame& frame) {
  const auto prepared = wire::decode<wire::Prepared>(frame.payload);
  if (prepared.incarnation != incarnation_) {
    throw wire::ProtocolError("another receiver answered than the one that was asked");
  }
  if (options_.verify && !prepared.verified) {
    throw wire::ProtocolError("the destination has not verified what it got");
  }
  prepared_at_ = Clock::now();
  stop_.reset();
  {
    const std::lock_guard lock(mutex_);
    report_.phases_ms.restore = prepared.restore_ms;
    if (options_.verify) {
      report_.phases_ms.verify = ms_between(landed_at_, prepared_at_);
      report_.verified = prepared.verified;
    }
    report_.phase = "handing over";
    hands_pages_over_ = server_ != nullptr;
  }
  if (failure_) std::rethrow_exception(failure_);  // a page channel's, say
  happened(Event::prepared);
  if (stage() != Stage::committed) throw std::runtime_error(kCancelled);
}

/// What the destination says after Commit, or of a VM that has stayed here.
void OutgoingMigration::Source::take_word(const Frame& frame) {
  switch (frame.type) {
    case FrameType::running: {
      const auto running = wire::decode<wire::Running>(frame.payload);
      if (running.missing > 0 && !server_) {
        throw wire::ProtocolError("the destination says that it lacks pages, which it cannot");
      }
      const bool news = !Side::stays(stage()) && !Side::has_moved(stage());
      if (news) take_running(running);
      happened(running.missing > 0 ? Event::running_lacking : Event::running);
      if (news && Side::has_moved(stage())) complete(is_there());
      return;
    }
    case FrameType::ended: {
      const bool news = !Side::has_moved(stage());
      happened(Event::ended);
      if (!news || !Side::has_moved(stage())) return;
      options_.keep_in = nullptr;  // it will not come back
      return complete(fmt::format("the VM was at {} and has ended: {}", to_string(options_.to),
                                  wire::decode<wire::Reason>(frame.payload).reason));
    }
    case FrameType::refused: {
      const std::string why = wire::decode<wire::Reason>(frame.payload).reason;
      if (!failure_ || !Side::stays(stage())) {
        failure_ = std::make_exception_ptr(std::runtime_error("the destination refused: " + why));
      }
      return happened(Event::refused);
    }
    case FrameType::prepared: return happened(Event::prepared);  // it crossed `abort`
    case FrameType::acknowledged: return happened(Event::acknowledged);
    default:
      throw wire::ProtocolError(fmt::format("the destination sent a frame of type {} out of turn",
                                            static_cast<unsigned>(frame.type)));
  }
}

/// The destination says that the VM runs there: the first time this ends the downtime.
void OutgoingMigration::Source::take_running(const wire::Running& running) {
  const auto now = Clock::now();
  failure_ = nullptr;
  running_ = running;
  const std::lock_guard lock(mutex_);
  if (report_.downtime_ms > 0) return;
  report_.phases_ms.commit = ms_between(prepared_at_, now);
  report_.downtime_ms = ms_between(stopped_at_, now) - report_.phases_ms.verify;
}

std::string OutgoingMigration::Source::is_there() const {
  const std::string where = to_string(options_.to);
  return was_running_ ? fmt::format("the VM runs at {}", where)
                      : fmt::format("the VM is at {}, paused as it was", where);
}

}  // namespace migration
