#include "migration/destination/status_board.hpp"

#include <utility>

namespace migration::destination {

namespace {

using Stage = Ownership::Stage;

/// As `ferry info` shows it.
const char* state_of(Stage stage, bool paused) {
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

void StatusBoard::show(std::string detail) {
  const vmm::Lock lock(mutex_);
  detail_ = std::move(detail);
}

void StatusBoard::show_address(Address address) {
  const vmm::Lock lock(mutex_);
  address_ = std::move(address);
}

void StatusBoard::show_offer(Status::Receiving vm, bool paused,
                             std::shared_ptr<const PageTally> tally) {
  const vmm::Lock lock(mutex_);
  detail_ = "receiving '" + vm.name + "'";
  offered_ = std::move(vm);
  paused_ = paused;
  tally_ = std::move(tally);
}

void StatusBoard::show_report(MigrationReport report) {
  const vmm::Lock lock(mutex_);
  report_ = std::move(report);
}

bool StatusBoard::has_report() const {
  const vmm::Lock lock(mutex_);
  return report_.has_value();
}

DestinationMigration::Status StatusBoard::read(Stage stage,
                                               std::optional<Status::Fetching> fetching) const {
  const vmm::Lock lock(mutex_);
  Status status{.state = state_of(stage, paused_), .detail = detail_, .listening = address_};
  status.unheard = stage == Stage::running;
  if (stage >= Stage::fetching && stage <= Stage::ended) {
    status.fetching = fetching;
    if (status.fetching) status.fetching->link_lost = stage == Stage::fetching_unlinked;
    status.report = report_;
  }
  if (offered_ && stage < Stage::refused) {
    status.receiving = offered_;
    status.receiving->round = tally_->round;
    status.receiving->pages = tally_->pages;
    status.receiving->bytes = tally_->bytes;
  }
  return status;
}

}  // namespace migration::destination
