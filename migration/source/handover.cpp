#include <fmt/format.h>

#include <stdexcept>

#include "migration/base/usage.hpp"
#include "migration/source/device_calls.hpp"
#include "migration/source/source.hpp"
#include "vmm/os/scheduling.hpp"

/// The stop: the guest's last pages and its state go over, then the VM itself. The rules are in
/// docs/protocol.md, "Who owns the VM".
namespace migration {

namespace asio = boost::asio;
using net::Frame;
using wire::FrameType;

namespace {

/// Bytes per second that either side digests at least, on a slow and busy host.
constexpr double kVerifyRate = 100e6;

}  // namespace

asio::awaitable<void> SourceMigration::Source::hand_over() {
  // The guest waits for each step of this thread from here on.
  const vmm::WakesFirst first;
  journal_.reached(Moment::stopping);
  happened(Event::guest_stopped);
  if (stage() != Stage::stopped) throw std::runtime_error(kCancelled);
  journal_.reached(Moment::stopped);
  parts().check_guest();

  // The state first: saving can write guest pages (kvmclock), so the dirty log is read after.
  link_.send(FrameType::state, wire::encode_state(machine_->save()));
  journal_.reached(Moment::saved);
  // Before the destination has all that it needs to take it.
  hold_.lacks(machine_->devices_of_host());
  machine_->release();
  bound_stop(transfer().take_rest());
  co_await transfer().send_rest([this] { happened(Event::all_sent); });
  on_prepared(co_await link_.expect(FrameType::prepared));
  // In time, whatever else shows that it lives: until then the VM runs nowhere.
  on_word(co_await link_.control().answer(options_.timeout));
}

source::MemoryTransfer& SourceMigration::Source::transfer() {
  if (post_copy_) return *post_copy_;
  if (local_.is_accepted()) return local_;
  return pre_copy_;
}

/// The guest must not stand for ever for a destination that lives and does nothing.
void SourceMigration::Source::bound_stop(std::uint64_t pages_left) {
  stop_.emplace(
      handover::StopNeeds{.bytes_left = pages_left * vmm::kPageSize,
                          .cap = static_cast<double>(link_.limiter().rate()),
                          .measured = pre_copy_.link_rate(),
                          .verify_bytes = options_.verify ? resident_bytes(machine_->memory()) : 0,
                          .verify_rate = kVerifyRate,
                          .timeout = options_.timeout},
      journal_.when(Moment::stopping).value(), bulk_sent());
}

std::uint64_t SourceMigration::Source::bulk_sent() const {
  return link_.bulk_sent() + (post_copy_ ? post_copy_->bytes_sent() : 0);
}

/// The destination has all that it needs to run the VM. It is told to, if nobody has decided
/// otherwise.
void SourceMigration::Source::on_prepared(const Frame& frame) {
  const auto prepared = wire::decode<wire::Prepared>(frame.payload);
  if (prepared.incarnation != accept_.incarnation) {
    throw wire::ProtocolError("another receiver answered than the one that was asked");
  }
  if (options_.verify && !prepared.verified) {
    throw wire::ProtocolError("the destination has not verified what it got");
  }
  stop_.reset();
  journal_.write([&](MigrationReport& report) {
    report.phases_ms.restore = prepared.restore_ms;
    if (options_.verify) report.verified = prepared.verified;
  });
  journal_.reached(Moment::prepared);
  owner_.hands_pages_over(post_copy_.has_value());
  if (failure_) std::rethrow_exception(failure_);  // a page channel's, say
  // Not in a thread of its own, for which the guest would wait.
  disks_tell_ = accept_.features.has(wire::Feature::marks) &&
                source::held_elsewhere(machine_->devices_of_host()).value_or(false);
  happened(Event::prepared);
  if (stage() != Stage::committed) throw std::runtime_error(kCancelled);
}

/// What the destination says after Commit, or of a VM that has stayed here.
void SourceMigration::Source::on_word(const Frame& frame) {
  switch (frame.type) {
    case FrameType::running: {
      const auto running = wire::decode<wire::Running>(frame.payload);
      if (running.missing > 0 && !post_copy_) {
        throw wire::ProtocolError("the destination says that it lacks pages, which it cannot");
      }
      const bool news = !Side::stays(stage()) && !Side::has_moved(stage());
      if (news) on_running(running);
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
    case FrameType::refused: return on_refusal(wire::decode<wire::Reason>(frame.payload).reason);
    case FrameType::prepared: return happened(Event::prepared);  // it crossed `abort`
    case FrameType::acknowledged: return happened(Event::acknowledged);
    default:
      throw wire::ProtocolError(fmt::format("the destination sent a frame of type {} out of turn",
                                            static_cast<unsigned>(frame.type)));
  }
}

/// The destination says that the VM runs there: the first time this ends the downtime.
void SourceMigration::Source::on_running(const wire::Running& running) {
  journal_.reached(Moment::running);
  failure_ = nullptr;
  running_ = running;
}

/// Its own word that it will not run the VM.
void SourceMigration::Source::on_refusal(const std::string& why) {
  if (!failure_ || !Side::stays(stage())) {
    failure_ = std::make_exception_ptr(std::runtime_error("the destination refused: " + why));
  }
  happened(Event::refused);
}

std::string SourceMigration::Source::is_there() const {
  const std::string where = to_string(options_.to);
  return was_running_ ? fmt::format("the VM runs at {}", where)
                      : fmt::format("the VM is at {}, paused as it was", where);
}

}  // namespace migration
