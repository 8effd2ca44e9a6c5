#pragma once

#include <memory>
#include <optional>
#include <string>

#include "migration/destination/destination_migration.hpp"
#include "migration/destination/ownership.hpp"
#include "migration/pages/page_target.hpp"
#include "vmm/os/mutex.hpp"

namespace migration::destination {

/// What the destination shows of the VM to people, who look from any thread.
class StatusBoard {
 public:
  using Status = DestinationMigration::Status;

  /// Who owns the VM and what to do.
  void show(std::string detail);
  void show_address(Address address);
  /// The VM that was offered; `paused`: it was at the source.
  void show_offer(Status::Receiving vm, bool paused, std::shared_ptr<const PageTally> tally);
  /// The source's.
  void show_report(MigrationReport report);

  [[nodiscard]] bool has_report() const;
  [[nodiscard]] Status read(Ownership::Stage stage, std::optional<Status::Fetching> fetching) const;

 private:
  mutable vmm::Mutex mutex_;
  std::string detail_ FERRY_GUARDED_BY(mutex_) = "waits for a VM";
  std::optional<Address> address_ FERRY_GUARDED_BY(mutex_);  ///< once it listens
  std::optional<Status::Receiving> offered_ FERRY_GUARDED_BY(mutex_);
  bool paused_ FERRY_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const PageTally> tally_ FERRY_GUARDED_BY(mutex_);
  std::optional<MigrationReport> report_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace migration::destination
