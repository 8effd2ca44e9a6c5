#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "devices/standard.hpp"
#include "ferry/arrival.hpp"
#include "ferry/console.hpp"
#include "ferry/control_api.hpp"
#include "ferry/departure.hpp"
#include "ferry/foresight.hpp"
#include "ferry/process_end.hpp"
#include "ferry/report_stream.hpp"
#include "ferry/signals.hpp"
#include "ferry/vm_of_process.hpp"
#include "ferry/vm_room.hpp"
#include "vmm/machine/machine.hpp"

namespace ferry {

/// A process that has a VM, or waits for one: `ferry run` and `ferry receive` from the moment when
/// they are set up. Everything here happens in the main thread's event loop.
///
/// It owns the Machine, but for two times: while it arrives it belongs to the DestinationMigration,
/// and while it leaves it is lent to the SourceMigration. So no request can reach a machine that
/// another thread drives.
class Session final : public Controlled {
 public:
  struct Options {
    SerialChoice serial;
    std::string api_socket;  ///< none when empty
    VmRoom::Options room;
  };

  /// Opens the console and the control API.
  explicit Session(const Options& options);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Runs the VM that `machine` is. `serial` is its serial port.
  void start(std::unique_ptr<vmm::Machine> machine, std::shared_ptr<devices::Serial> serial);
  /// Waits for a VM.
  void receive(migration::ReceiveOptions options, devices::HostParts parts);

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
  void set_balloon(const nlohmann::json& request) override;
  boost::asio::awaitable<nlohmann::json> forecast(nlohmann::json request) override;

 private:
  void arrived(std::unique_ptr<vmm::Machine> machine, std::shared_ptr<devices::Serial> serial);
  void arrival_failed(const migration::DestinationMigration::Failure& failure);
  void own(std::unique_ptr<vmm::Machine> machine);
  void guest_ended();

  // session_requests.cpp
  [[nodiscard]] vmm::Machine& machine_for(const char* what) const;
  /// Conflict where the VM cannot, or not yet: `what` is that.
  void check_may_leave(const char* what, const vmm::Machine& machine) const;
  static void acquire_to_leave(vmm::Machine& machine);
  void stop_migration();
  void in_doubt();
  void migration_ended(migration::SourceMigration::Result result);

  // session_end.cpp
  /// A signal or Ctrl-A X: the process is to end with this status.
  void end(int status);
  void end_migration(int status);
  void end_now(int status);
  void shut_down(int status);
  boost::asio::awaitable<void> finish();
  boost::asio::awaitable<void> io_over();
  [[nodiscard]] std::optional<std::string> hanging_device();
  [[noreturn]] void leave_hanging(const std::string& device, int status);

  // session_info.cpp
  [[nodiscard]] std::string state() const;
  [[nodiscard]] std::string owner() const;
  [[nodiscard]] std::string owner_here() const;
  [[nodiscard]] nlohmann::json devices_json() const;

  boost::asio::io_context context_{1};
  std::unique_ptr<Console> console_;
  ProcessEnd end_;
  VmOfProcess vm_;
  std::vector<std::weak_ptr<vmm::Device>> devices_;  ///< of the VM, as long as its machine lives
  std::shared_ptr<devices::virtio::Balloon>
      balloon_;  ///< of the VM that is here; null: it has none
  VmRoom room_;
  Arrival arrival_;
  Departure departure_;
  Foresight foresight_;
  EndSignals end_signals_;
  JobControl job_control_;
  std::unique_ptr<ControlApi> api_;
};

}  // namespace ferry
