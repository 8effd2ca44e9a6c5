#include <utility>

#include "migration/base/usage.hpp"
#include "migration/destination/receiver.hpp"

/// What the destination tells of the VM: to people, and to its source.
namespace migration {

using net::Frame;

namespace {

/// As `ferry info` shows it.
const char* state_of(handover::DestinationSide::Stage stage, bool paused) {
  using Stage = handover::DestinationSide::Stage;
  switch (stage) {
    case Stage::listening: return "listening";
    case Stage::receiving: return "receiving";
    case Stage::prepared:
    case Stage::prepared_unlinked:
    case Stage::lacking:
    case Stage::lacking_unlinked:
    case Stage::starting:
    case Stage::starting_forced:
    case Stage::lacking_starting: return "prepared";
    case Stage::fetching:
    case Stage::fetching_unlinked:
    case Stage::running:
    case Stage::settled: return paused ? "paused" : "running";
    case Stage::ended:
    case Stage::refused:
    case Stage::over: break;
  }
  return "gone";
}

}  // namespace

void IncomingMigration::Receiver::take_report(const Frame& frame) {
  auto report = wire::decode<MigrationReport>(frame.payload);
  const std::lock_guard lock(mutex_);
  report_ = std::move(report);
}

wire::Running IncomingMigration::Receiver::running_now() const {
  const LatencyHistogram latencies = fetcher_ ? fetcher_->latencies() : latencies_;
  return {.incarnation = incarnation_,
          .cpu_seconds = cpu_seconds(),
          .peak_rss = peak_rss_bytes(),
          .missing = fetcher_ ? fetcher_->missing() : 0,
          .round = round_,
          .faults = {latencies.count(), latencies.percentile(50), latencies.percentile(99),
                     latencies.max()}};
}

IncomingMigration::Status IncomingMigration::Receiver::status() const {
  const std::lock_guard lock(mutex_);
  const Stage now = handover_.stage();
  Status status{.state = state_of(now, offer_.paused), .detail = detail_, .listening = address_};
  status.unheard = now == Stage::running;
  if (now >= Stage::fetching && now <= Stage::ended) {
    status.fetching = fetching_status();
    status.report = report_;
  }
  if (offered_ && now < Stage::refused) {
    status.receiving = offered_;
    status.receiving->round = tally_->round;
    status.receiving->pages = tally_->pages;
    status.receiving->bytes = tally_->bytes;
  }
  return status;
}

}  // namespace migration
