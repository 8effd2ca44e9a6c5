#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "migration/destination/destination_migration.hpp"
#include "migration/destination/ownership.hpp"
#include "migration/pages/page_target.hpp"

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
  mutable std::mutex mutex_;  ///< guards all of it
  std::string detail_ = "waits for a VM";
  std::optional<Address> address_;  ///< once it listens
  std::optional<Status::Receiving> offered_;
  bool paused_ = false;
  std::shared_ptr<const PageTally> tally_;
  std::optional<MigrationReport> report_;
};

}  // namespace migration::destination
