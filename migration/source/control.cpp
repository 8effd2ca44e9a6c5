#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <stdexcept>

#include "migration/base/elapsed.hpp"
#include "migration/source/source.hpp"

/// What is told of a migration while it runs, and what may be changed then.
namespace migration {

namespace asio = boost::asio;

void SourceMigration::Source::update_counts() {
  journal_.measure();
  const PageCounters& sent = link_.counters();
  journal_.write([&](MigrationReport& report) {
    report.pages.zero = sent.zero;
    report.pages.raw = sent.raw;
    report.pages.compressed = sent.compressed;
    report.pages.zstd = sent.zstd;
    report.pages.delta = sent.delta;
    report.pages.duplicate = pages_.duplicates() + sent.same;
    report.saved.delta = sent.delta_saved;
    report.saved.duplicate = sent.same_saved;
    report.delta_cache_bytes = link_.delta_cache_bytes();
    report.wire_bytes = link_.bytes_sent();
    report.wire_bytes_back = link_.bytes_received();
    report.channels = local_.is_accepted() ? 0 : link_.channels().most_active();
    if (!post_copy_) return;
    post_copy_->count(report);
    report.faults = running_.faults;
    if (report.outcome != Outcome::completed) return;
    // The rounds before may have counted pages that were missing in the end.
    MigrationReport::Pages& pages = report.pages;
    pages.reused = pages_.reused();
    pages.free = pages_.free().count();
    pages.unpopulated = pages.total - (link_.pages_sent() - pages.resent) - pages.reused -
                        pages_.duplicates() - pages.free;
  });
}

/// The guest stands: until when may the destination take?
void SourceMigration::Source::watch_stop() {
  if (!stop_) return;
  const auto now = Clock::now();
  stop_->progress(bulk_sent(), now);
  if (now < stop_->deadline()) return;
  abandon(
      Event::overdue,
      fmt::format("the destination was not ready {:.0f} ms after the guest had been stopped: see "
                  "what keeps it there, or give it more time with --timeout",
                  ms_between(journal_.when(Moment::stopping).value(), now)));
}

void SourceMigration::Source::tick() {
  ticker_.expires_after(PreCopyDriver::kAskEvery);
  ticker_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || Side::stays(stage()) || Side::has_moved(stage())) return;
    try {
      if (stage() <= Stage::copying && machine_ && machine_->running() && !machine_->draining()) {
        callbacks_.tend(*machine_);
      }
      pre_copy_.look_at_writes();
      watch_stop();
      update_counts();
      auto under_way = transfer().under_way();
      if (under_way) under_way->taken = link_.up() && !Side::searches(stage());
      journal_.look(machine_->memory(), under_way);
      callbacks_.progress(live());
    } catch (const std::exception& error) {
      abandon(Event::cancel, error.what());
    }
    tick();
  });
}

void SourceMigration::Source::set(const MigrateSettings& settings) {
  if (settings.max_bandwidth) link_.limiter().set_rate(*settings.max_bandwidth);
  asio::post(context_, [this, settings] {
    if (settings.max_downtime) pre_copy_.set_max_downtime(*settings.max_downtime);
    if (settings.prepaging) {
      options_.prepaging = *settings.prepaging;
      if (post_copy_) post_copy_->set(*settings.prepaging);
    }
    if (settings.to) {
      options_.to = *settings.to;
      redial_.hurry();
      if (keeper_) keeper_->look_at(*settings.to);
    }
  });
}

std::string SourceMigration::Source::cancel() {
  if (const auto refused_in = owner_.wish(Event::cancel)) {
    if (Side::stays(*refused_in)) return {};
    if (!Side::searches(*refused_in)) {
      return "the VM has been handed over: it cannot be cancelled any more";
    }
    return "the VM was handed over and the destination does not answer: it cannot be cancelled "
           "any more. See 'ferry info'";
  }
  asio::post(context_, [this] { give_up(kCancelled); });
  return {};
}

/// Once: with a failure run() is on its way to its end already.
void SourceMigration::Source::abandon(Event event, const std::string& why) {
  if (failure_ || !Side::before_commit(stage())) return;
  owner_.advance(event);
  give_up(why);
}

void SourceMigration::Source::give_up(const std::string& why) {
  if (!failure_) failure_ = std::make_exception_ptr(std::runtime_error(why));
  link_.limiter().stop();
  follow();
  if (stage() != Stage::here_telling) return interrupt();
  // The destination may be prepared: that it has dropped the VM is to be heard on this link.
  grace_.expires_after(kWordGrace);
  grace_.async_wait([this](boost::system::error_code cancelled) {
    if (!cancelled && machine_) interrupt();
  });
}

/// Wherever run() waits: for a name, a connection, a frame, or its turn to send. What is to be told
/// to a peer that does not read is not waited for.
void SourceMigration::Source::interrupt() {
  if (link_.up()) link_.control().close_when_drained(failure_, kWordGrace);
  interrupt_.emit(asio::cancellation_type::terminal);
}

}  // namespace migration
