#include "migration/source/journal.hpp"

#include <algorithm>
#include <exception>

#include "migration/base/elapsed.hpp"
#include "migration/base/usage.hpp"

namespace migration::source {

namespace {

/// What people see of it may take so much of the time.
constexpr std::chrono::milliseconds kLookAtUsed{5};

constexpr std::size_t index_of(Journal::Moment moment) { return static_cast<std::size_t>(moment); }

}  // namespace

Journal::Journal(const MigrateOptions& options, std::uint64_t pages, bool running)
    : cpu_at_start_(cpu_seconds()), used_(pages) {
  report_.mode = to_string(options.mode);
  report_.transport = options.to.kind == Address::Kind::tcp ? "tcp" : "unix";
  report_.phase = "connecting";
  report_.owner = running ? "this process runs the VM" : "this process has the VM, paused";
  report_.pages.total = pages;
}

MigrationReport Journal::report() const {
  const vmm::Lock lock(mutex_);
  return report_;
}

void Journal::phase(std::string text) {
  write([&](MigrationReport& report) { report.phase = std::move(text); });
}

void Journal::account(const PageAccount& pages) {
  write([&](MigrationReport& report) {
    MigrationReport::Pages& counts = report.pages;
    counts.reused = pages.reused();
    counts.free = pages.free().count();
    counts.unpopulated =
        counts.total - pages.travelling() - counts.reused - pages.duplicates() - counts.free;
  });
}

std::optional<Journal::Clock::time_point> Journal::when(Moment moment) const {
  return moments_.at(index_of(moment));
}

double Journal::between(Moment from, Moment to) const {
  return ms_between(when(from).value(), when(to).value());
}

void Journal::reached(Moment moment) {
  std::optional<Clock::time_point>& reached_at = moments_.at(index_of(moment));
  if (moment == Moment::running && reached_at) return;
  reached_at = Clock::now();
  const vmm::Lock lock(mutex_);
  MigrationReport::Phases& phases = report_.phases_ms;
  switch (moment) {
    case Moment::stopping: report_.phase = "stopped"; break;
    case Moment::stopped: phases.stop = between(Moment::stopping, moment); break;
    case Moment::saved: phases.state = between(Moment::stopped, moment); break;
    case Moment::landed: phases.last_pages = between(Moment::saved, moment); break;
    case Moment::prepared:
      report_.phase = "handing over";
      if (report_.verified) phases.verify = between(Moment::landed, moment);
      break;
    case Moment::running:
      phases.commit = between(Moment::prepared, moment);
      report_.downtime_ms = between(Moment::stopping, moment) - phases.verify;
      break;
  }
}

void Journal::stayed(Outcome outcome, std::string error, std::string owner) {
  const vmm::Lock lock(mutex_);
  report_.outcome = outcome;
  report_.error = std::move(error);
  report_.phase = to_string(outcome);
  report_.left_ms = std::nullopt;
  report_.owner = std::move(owner);
  report_.total_ms = ms_since(start_);
  const auto stopped = when(Moment::stopping);
  report_.downtime_ms = stopped ? ms_since(*stopped) : 0;
}

void Journal::completed(std::string owner) {
  const vmm::Lock lock(mutex_);
  report_.outcome = Outcome::completed;
  report_.error = std::nullopt;
  report_.phase = "completed";
  report_.progress = Progress::kDone;
  report_.left_ms = std::nullopt;
  report_.owner = std::move(owner);
  report_.total_ms = ms_since(start_);
}

void Journal::must_travel(std::uint64_t pages) {
  if (!to_travel_) to_travel_ = pages;
}

void Journal::look(const vmm::GuestMemory& memory, const std::optional<UnderWay>& under_way) {
  try {
    used_.look(memory, kLookAtUsed);
  } catch (const std::exception&) {
    // It is for people alone. What needs to know these pages fails by itself, and says why.
  }
  const std::uint64_t used = used_.count(resident_bytes(memory) / vmm::kPageSize);
  if (under_way) {
    const std::uint64_t all = under_way->all.value_or(used);
    progress_.tell(all - std::min(all, under_way->gone), to_travel_.value_or(used));
    if (under_way->taken) time_left_.tell(elapsed(), all, under_way->gone, under_way->after);
  }
  if (!under_way || !under_way->taken) time_left_.tell_none();
  const vmm::Lock lock(mutex_);
  report_.progress = progress_.percent();
  report_.left_ms = std::nullopt;
  if (const auto seconds = time_left_.seconds()) report_.left_ms = 1000 * *seconds;
}

void Journal::measure() {
  const vmm::Lock lock(mutex_);
  if (report_.outcome == Outcome::running || report_.outcome == Outcome::in_doubt) {
    report_.total_ms = ms_since(start_);
  }
  report_.cpu_seconds_source = cpu_seconds() - cpu_at_start_;
  report_.peak_rss_source = peak_rss_bytes();
}

}  // namespace migration::source
