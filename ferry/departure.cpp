#include "ferry/departure.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "ferry/controlled.hpp"
#include "ferry/say.hpp"
#include "vmm/text/json_text.hpp"

namespace ferry {

namespace asio = boost::asio;
using migration::MigrationReport;
using migration::Outcome;
using migration::SourceMigration;

namespace {

/// While the session is taken apart requests may still come, and there is no migration any more.
constexpr const char* kProcessEnds = "this process is about to end";

std::string report_line(const MigrationReport& report) {
  return vmm::json_text(migration::to_json(report)) + '\n';
}

}  // namespace

Departure::Departure(asio::io_context& context, Callbacks callbacks)
    : context_(context), callbacks_(std::move(callbacks)), told_(context) {}

std::shared_ptr<ReportStream> Departure::begin(std::unique_ptr<vmm::Machine>&& machine,
                                               migration::MigrateOptions options) {
  std::erase_if(telling_, [](const auto& earlier) { return earlier->done(); });
  if (outgoing_ && !outgoing_->done()) telling_.push_back(std::move(outgoing_));
  client_ = std::make_shared<ReportStream>(context_);
  // It tells the destination for three timeouts at most that it knows where the VM is.
  told_.expect();
  outgoing_ =
      std::make_unique<SourceMigration>(std::move(machine), std::move(options), callbacks());
  return client_;
}

void Departure::end() { outgoing_.reset(); }

/// What happens in the migration's thread is told to the main thread.
SourceMigration::Callbacks Departure::callbacks() {
  return {.progress =
              [this](const MigrationReport& report) {
                asio::post(context_, [this, report] {
                  if (client_) client_->progress(report_line(report));
                });
              },
          .in_doubt =
              [this](const MigrationReport& report) {
                asio::post(context_, [this, report] { in_doubt(report); });
              },
          .ended =
              [this](SourceMigration::Result result) {
                asio::post(context_, [this, result = std::move(result)]() mutable {
                  ended(std::move(result));
                });
              },
          .message = say,
          .tend = callbacks_.tend,
          .over =
              [this] {
                asio::post(context_, [this] {
                  // Not of an earlier migration, which was still telling its destination.
                  if (outgoing_ && outgoing_->done()) told_.open();
                });
              },
          .released = [this] { asio::post(context_, [this] { callbacks_.released(); }); }};
}

void Departure::in_doubt(const MigrationReport& report) {
  say(fmt::format("{}; {}", report.error.value_or(""), report.owner));
  callbacks_.in_doubt();
  end_report(report);
}

void Departure::ended(SourceMigration::Result result) {
  last_report_ = result.report;
  end_report(result.report);
  callbacks_.ended(std::move(result));
  // One that has moved the VM is asked what became of it.
  if (last_report_->outcome != Outcome::completed && outgoing_ && outgoing_->done()) {
    outgoing_.reset();
  }
}

void Departure::end_report(const MigrationReport& report) {
  if (client_) std::exchange(client_, nullptr)->end(report_line(report));
}

Leaving Departure::leaving() const { return {live().outcome, outgoing_ && outgoing_->serving()}; }

MigrationReport Departure::live() const {
  return outgoing_ ? outgoing_->live() : last_report_.value_or(MigrationReport{});
}

std::string Departure::cancel() { return outgoing_ ? outgoing_->cancel() : kProcessEnds; }

std::string Departure::force_resume() {
  return outgoing_ ? outgoing_->force_resume() : kProcessEnds;
}

void Departure::set(const migration::MigrateSettings& settings) {
  if (!outgoing_) throw Conflict(kProcessEnds);
  if (settings.to && !outgoing_->link_lost()) {
    throw Conflict(
        fmt::format("where the VM goes can be set only while the link is lost after the "
                    "handover{}",
                    outgoing_->serving() ? "" : ": cancel the migration and start another"));
  }
  outgoing_->set(settings);
}

void Departure::break_off() {
  MigrationReport report = live();
  if (report.outcome == Outcome::running || report.outcome == Outcome::in_doubt) {
    const bool serving = leaving().serving;
    const bool cancelled = !serving && cancel().empty();
    report = report_of_sudden_end(std::move(report), serving, cancelled);
  }
  say("ends now: " + report.owner);
  end_report(report);
}

asio::awaitable<void> Departure::told() {
  if (outgoing_ && !outgoing_->done()) co_await told_.wait();
}

}  // namespace ferry
