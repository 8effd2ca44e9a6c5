#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ferry/leaving.hpp"
#include "ferry/report_stream.hpp"
#include "ferry/timed_latch.hpp"
#include "migration/source/source_migration.hpp"

namespace ferry {

/// How the VM leaves this process: one migration after the other, until one has moved it, and the
/// client that follows it. Main thread only, but for what the migration's thread calls.
class Departure {
 public:
  struct Callbacks {
    /// Called from the migration's thread, as SourceMigration says.
    std::function<void(vmm::Machine&)> tend;
    /// Told already.
    std::function<void()> in_doubt;
    std::function<void(migration::SourceMigration::Result)> ended;
    /// An image that was kept is kept no longer.
    std::function<void()> released;
  };

  Departure(boost::asio::io_context& context, Callbacks callbacks);

  /// When this throws, the machine has not been taken.
  [[nodiscard]] std::shared_ptr<ReportStream> begin(std::unique_ptr<vmm::Machine>&& machine,
                                                    migration::MigrateOptions options);
  /// Joins the migration's thread. A VM that came back in the last moment is in the queue.
  void end();

  /// Of the last migration.
  [[nodiscard]] Leaving leaving() const;
  [[nodiscard]] migration::MigrationReport live() const;
  /// None before the first has ended.
  [[nodiscard]] const std::optional<migration::MigrationReport>& last_report() const {
    return last_report_;
  }

  /// Empty when the migration will end soon as cancelled; else why it cannot be any more.
  [[nodiscard]] std::string cancel();
  /// `ferry resume --force`: empty, or why not.
  [[nodiscard]] std::string force_resume();
  /// Conflict when that cannot be set now.
  void set(const migration::MigrateSettings& settings);
  /// The process ends now, whatever becomes of the VM: that is told, to the client too.
  void break_off();
  /// Of a VM that has moved: until its destination knows that this is known here.
  boost::asio::awaitable<void> told();

 private:
  [[nodiscard]] migration::SourceMigration::Callbacks callbacks();
  void in_doubt(const migration::MigrationReport& report);
  void ended(migration::SourceMigration::Result result);
  void end_report(const migration::MigrationReport& report);

  boost::asio::io_context& context_;
  const Callbacks callbacks_;
  /// The last one. One that failed may still be telling its destination so.
  std::unique_ptr<migration::SourceMigration> outgoing_;
  /// Those before, which do so.
  std::vector<std::unique_ptr<migration::SourceMigration>> telling_;
  std::optional<migration::MigrationReport> last_report_;
  std::shared_ptr<ReportStream> client_;
  TimedLatch told_;
};

}  // namespace ferry
