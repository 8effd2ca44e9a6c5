#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>
#include <vector>

#include "ferry/vm_of_process.hpp"
#include "migration/base/options.hpp"
#include "migration/destination/destination_migration.hpp"
#include "migration/reuse/change_tracker.hpp"

namespace ferry {

/// A VM whose source keeps its image: the keeper there is told what the guest changes here, as long
/// as the dirty log runs. Main thread only.
class ChangeFeed {
 public:
  ChangeFeed(boost::asio::io_context& context, const VmOfProcess& vm);

  /// The VM came by `handover` and is here. The feed is stopped before `to` ends.
  void start(const migration::DestinationMigration::KeptAtSource& handover,
             migration::DestinationMigration& to);
  void stop();

  /// The keeper has just come, and knows nothing yet.
  void tell_all();
  /// The keeper has given these pages up.
  void dropped(const std::vector<vmm::PageRange>& pages);
  /// What has changed, for the VM's return; nothing where that is not known.
  [[nodiscard]] std::optional<migration::MigrateOptions::TrackedSince> tracked_since() const;

 private:
  void wait();
  void tell_news();

  const VmOfProcess& vm_;
  migration::DestinationMigration* to_ = nullptr;
  std::optional<migration::ChangeTracker> tracker_;
  boost::asio::steady_timer next_;
};

}  // namespace ferry
