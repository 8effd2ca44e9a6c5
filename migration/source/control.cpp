#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"
#include "migration/source/source.hpp"

/// What is told of a migration while it runs, and what may be changed then.
namespace migration {

namespace asio = boost::asio;
using wire::FrameType;

namespace {

/// What people see of it may take so much of the time.
constexpr std::chrono::milliseconds kLookAtUsed{5};

}  // namespace

void OutgoingMigration::Source::phase(std::string text) {
  const std::lock_guard lock(mutex_);
  report_.phase = std::move(text);
}

void OutgoingMigration::Source::update_counts() {
  const std::lock_guard lock(mutex_);
  report_.pages.zero = counters_.zero;
  report_.pages.raw = counters_.raw;
  report_.pages.compressed = counters_.compressed;
  report_.wire_bytes = counters_.wire_bytes + closed_bytes_;
  report_.wire_bytes_back = closed_bytes_back_;
  if (control_) {
    report_.wire_bytes += control_->bytes_sent();
    report_.wire_bytes_back += control_->bytes_received();
  }
  if (server_) {
    const PageServer::Counts counts = server_->counts();
    report_.wire_bytes += server_->bytes_sent();
    report_.wire_bytes_back += server_->bytes_received();
    report_.pages.demand = counts.demand;
    report_.pages.pushed = counts.pushed;
    report_.pages.resent = resent_before_ + server_->sent_again();
    report_.faults = running_.faults;
    const std::uint64_t sent = pages_sent();
    if (report_.outcome == Outcome::completed) {
      report_.pages.reused = pages_.reused();
      report_.pages.duplicate = pages_.duplicates();
      report_.pages.unpopulated = report_.pages.total - (sent - report_.pages.resent) -
                                  report_.pages.reused - report_.pages.duplicate;
    }
  }
  if (report_.outcome == Outcome::running || report_.outcome == Outcome::in_doubt) {
    report_.total_ms = ms_since(start_);
  }
  report_.cpu_seconds_source = cpu_seconds() - cpu_at_start_;
  report_.peak_rss_source = peak_rss_bytes();
}

std::uint64_t OutgoingMigration::Source::pages_sent() const {
  return counters_.zero + counters_.raw + counters_.compressed;
}

/// Of what is under way; between rounds nobody knows.
std::optional<std::uint64_t> OutgoingMigration::Source::pages_left(std::uint64_t used) const {
  std::uint64_t all = used;
  std::uint64_t gone = 0;
  if (server_) {
    const PageServer::Counts counts = server_->counts();
    all = handed_over_.value_or(used);
    gone = counts.demand + counts.pushed - server_->sent_again();
  } else if (copying_) {
    all = copying_->all().value_or(used);
    gone = pages_sent() - driver_.sent_before().pages;
  } else {
    return std::nullopt;
  }
  return all - std::min(all, gone);
}

void OutgoingMigration::Source::update_progress() {
  try {
    used_.look(machine_->memory(), kLookAtUsed);
  } catch (const std::exception&) {
    // It is for people alone. What needs to know these pages fails by itself, and says why.
  }
  const std::uint64_t used = used_.count(resident_bytes() / vmm::kPageSize);
  if (const auto left = pages_left(used)) progress_.tell(*left, to_travel_.value_or(used));
  const std::lock_guard lock(mutex_);
  report_.progress = progress_.percent();
}

/// The guest stands: until when may the destination take?
void OutgoingMigration::Source::watch_stop() {
  if (!stop_) return;
  const auto now = Clock::now();
  std::uint64_t sent = counters_.wire_bytes - sent_before_stop_ + digest_bytes_;
  if (server_) sent += server_->bytes_sent();
  stop_->progress(sent, now);
  if (now < stop_->deadline()) return;
  abandon(
      Event::overdue,
      fmt::format("the destination was not ready {:.0f} ms after the guest had been stopped: see "
                  "what keeps it there, or give it more time with --timeout",
                  ms_between(stopped_at_, now)));
}

void OutgoingMigration::Source::tick() {
  ticker_.expires_after(PreCopyDriver::kAskEvery);
  ticker_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || Side::stays(stage()) || Side::has_moved(stage())) return;
    try {
      if (stage() <= Stage::copying && machine_ && machine_->running()) {
        callbacks_.tend(*machine_);
      }
      look_at_writes();
      watch_stop();
      update_counts();
      update_progress();
      callbacks_.progress(live());
    } catch (const std::exception& error) {
      abandon(Event::cancel, error.what());
    }
    tick();
  });
}

void OutgoingMigration::Source::set(const MigrateSettings& settings) {
  if (settings.max_bandwidth) limiter_.set_rate(*settings.max_bandwidth);
  if (settings.max_downtime) {
    asio::post(context_, [this, most = *settings.max_downtime] { driver_.set_max_downtime(most); });
  }
  if (settings.prepaging) {
    asio::post(context_, [this, prepaging = *settings.prepaging] {
      options_.prepaging = prepaging;
      if (server_) server_->set(prepaging);
    });
  }
  if (settings.to) {
    asio::post(context_, [this, to = *settings.to] {
      options_.to = to;
      retry_.cancel();
      if (keeper_) keeper_->look_at(to);
    });
  }
}

std::string OutgoingMigration::Source::cancel() {
  const std::lock_guard lock(mutex_);
  const Stage now = handover_.stage();
  if (Side::searches(now)) {
    return "the VM was handed over and the destination does not answer: it cannot be cancelled "
           "any more. See 'ferry info'";
  }
  if (Side::stays(now)) return {};
  if (!handover_.allows(Event::cancel)) {
    return "the VM has been handed over: it cannot be cancelled any more";
  }
  wish_ = Event::cancel;
  say(handover_.advance(Event::cancel).actions);
  asio::post(context_, [this] { give_up("cancelled by request"); });
  return {};
}

/// Once: with a failure run() is on its way to its end already.
void OutgoingMigration::Source::abandon(Event event, const std::string& why) {
  if (failure_ || !Side::before_commit(stage())) return;
  {
    const std::lock_guard lock(mutex_);
    say(handover_.advance(event).actions);
  }
  give_up(why);
}

void OutgoingMigration::Source::give_up(const std::string& why) {
  if (!failure_) failure_ = std::make_exception_ptr(std::runtime_error(why));
  limiter_.stop();
  follow();
  if (stage() != Stage::here_telling) return interrupt();
  // The destination may be prepared: that it has dropped the VM is to be heard on this link.
  grace_.expires_after(kWordGrace);
  grace_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled) interrupt();
  });
}

/// Wherever run() waits: for a name, a connection, a frame, or its turn to send. What is to be told
/// to a peer that does not read is not waited for.
void OutgoingMigration::Source::interrupt() {
  if (control_) control_->close_when_drained(failure_, kWordGrace);
  interrupt_.emit(asio::cancellation_type::terminal);
}

MigrationReport OutgoingMigration::Source::live() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace migration
