#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ferry/console.hpp"
#include "ferry/control_api.hpp"
#include "ferry/host_memory.hpp"
#include "ferry/report_stream.hpp"
#include "ferry/signals.hpp"
#include "ferry/store_watch.hpp"
#include "migration/destination/incoming.hpp"
#include "migration/reuse/change_tracker.hpp"
#include "migration/source/outgoing.hpp"
#include "vmm/machine/machine.hpp"

namespace ferry {

/// A process that has a VM, or waits for one: `ferry run` and `ferry receive` from the moment when
/// they are set up. Everything here happens in the main thread's event loop.
///
/// It owns the Machine, but for two times: while it arrives it belongs to the IncomingMigration,
/// and while it leaves it is lent to the OutgoingMigration. So no request can reach a machine that
/// another thread drives.
class Session final : public Controlled {
 public:
  struct Options {
    SerialChoice serial;
    std::string api_socket;  ///< none when empty
    /// Where images are kept; null: in the user's default place, as anonymous memory is copied.
    std::shared_ptr<migration::ImageStore> image_store;
    /// What other processes have been promised; null: nobody is asked.
    std::shared_ptr<const migration::RoomLedger> ledger = nullptr;
    bool overcommit = false;
  };

  /// Opens the console and the control API.
  explicit Session(const Options& options);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Runs the VM that `machine` is. `serial` is its serial port.
  void start(std::unique_ptr<vmm::Machine> machine, std::shared_ptr<devices::Serial> serial);
  /// Waits for a VM.
  void receive(migration::ReceiveOptions options);

  /// Serves until the VM has ended, left or was stopped; the process's exit status.
  int run();

  // Controlled.
  [[nodiscard]] nlohmann::json info() const override;
  void pause() override;
  void resume(bool force) override;
  void stop() override;
  void cancel() override;
  boost::asio::awaitable<void> settled() override;
  std::shared_ptr<ReportStream> migrate(const nlohmann::json& options) override;
  void set(const nlohmann::json& settings) override;

 private:
  struct Arrival;

  // session_end.cpp
  void wait_for_signal();
  void signalled(int number);
  /// A signal or Ctrl-A X: the process is to end with this status.
  void end(int status);
  void end_migration(int status);
  void end_now(int status);
  void leave(int status);
  boost::asio::awaitable<void> finish();
  static void wake(boost::asio::steady_timer& timer);

  [[nodiscard]] std::shared_ptr<migration::ImageStore> image_store();
  [[nodiscard]] std::uint64_t kept_of(const std::string& vm_id) const;
  void arrived(Arrival arrival);

  // session_tracking.cpp
  void tell_changes();
  void tell_news();

  // session_room.cpp
  void watch_room();
  void look_at_store();

  void own(std::unique_ptr<vmm::Machine> machine);
  void guest_ended();
  void migration_ended(migration::OutgoingMigration::Result result);
  void wait_for_source(bool waiting);
  void progressed(const migration::MigrationReport& report);
  void in_doubt(const migration::MigrationReport& report);
  [[nodiscard]] bool lent() const { return outgoing_ && !machine_ && !keeper_; }
  [[nodiscard]] vmm::Machine& machine_for(const char* what) const;
  [[nodiscard]] std::optional<migration::IncomingMigration::Status::Fetching> fetching() const;
  [[nodiscard]] std::string state() const;
  [[nodiscard]] std::string owner() const;

  boost::asio::io_context context_{1};
  boost::asio::signal_set signals_;
  JobControl job_control_;
  const bool had_terminal_;         ///< whose end is a SIGHUP
  std::optional<int> exit_status_;  ///< the process is ending
  std::optional<int> ending_;       ///< it is to end so, once the migration has ended
  std::chrono::steady_clock::time_point asked_to_end_;  ///< last, by a signal or Ctrl-A X
  bool waiting_for_source_ = false;  ///< paused, as pages are missing and their source is away
  bool keeper_ = false;              ///< the VM has left, and its image is kept here
  std::string id_, name_;
  std::uint64_t memory_bytes_ = 0;
  std::uint32_t cpus_ = 0;
  std::shared_ptr<migration::ImageStore> image_store_;
  /// Of a VM whose source keeps its image.
  std::optional<migration::ChangeTracker> tracker_;
  boost::asio::steady_timer tell_changes_;
  std::chrono::milliseconds timeout_{};  ///< of the arrival
  // Those who wait are woken once that has come.
  boost::asio::steady_timer settled_;  ///< the source knows that the VM is here
  boost::asio::steady_timer left_;     ///< the receiver has nothing to answer any more
  boost::asio::steady_timer told_;     ///< the destination knows that the VM is there
  const std::shared_ptr<const migration::RoomLedger> ledger_;
  const bool overcommit_;
  std::weak_ptr<MemoryPromise> memory_promise_;  ///< while memory of the VM is to come
  boost::asio::steady_timer room_watch_;
  std::shared_ptr<StoreWatch> store_watch_;  ///< null: RAM is in no store
  std::unique_ptr<Console> console_;
  std::shared_ptr<devices::Serial> serial_;
  std::unique_ptr<vmm::Machine> machine_;
  std::unique_ptr<migration::IncomingMigration> incoming_;
  /// The last migration. One that failed may still be telling its destination so.
  std::unique_ptr<migration::OutgoingMigration> outgoing_;
  std::vector<std::unique_ptr<migration::OutgoingMigration>> telling_;
  std::optional<migration::MigrationReport> last_report_;
  std::shared_ptr<ReportStream> watcher_;
  std::unique_ptr<ControlApi> api_;
};

}  // namespace ferry
