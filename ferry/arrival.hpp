#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/serial.hpp"
#include "devices/standard.hpp"
#include "ferry/change_feed.hpp"
#include "ferry/timed_latch.hpp"
#include "ferry/vm_of_process.hpp"
#include "ferry/vm_room.hpp"
#include "migration/destination/destination_migration.hpp"

namespace ferry {

/// How the VM came to this process, and what its source may still have to be told or has to send.
/// Nothing of it in a process that has started its VM itself. Main thread only, but for what the
/// receiver's thread calls.
class Arrival {
 public:
  struct Callbacks {
    /// The serial port of a VM that is on its way; called from the receiver's thread.
    std::function<void(devices::Serial&)> observe;
    /// Takes the machine over: the VM is here.
    std::function<void(std::unique_ptr<vmm::Machine>, std::shared_ptr<devices::Serial>)> arrived;
    std::function<void(const migration::DestinationMigration::Failure&)> failed;
  };

  Arrival(boost::asio::io_context& context, const VmOfProcess& vm, VmRoom& room,
          Callbacks callbacks);

  /// Waits for a VM. `parts`: what this host has for its devices.
  void receive(migration::ReceiveOptions options, devices::HostParts parts);
  /// Joins the receiver's thread. A VM that arrived in the last moment is in the queue.
  void end();

  using Status = migration::DestinationMigration::Status;
  /// None where no VM is received, and while the session is taken apart.
  [[nodiscard]] std::optional<Status> status() const;
  /// Post-copy: what the VM that is here still lacks.
  [[nodiscard]] std::optional<Status::Fetching> fetching() const;
  /// The VM is here, and its source has not acknowledged that.
  [[nodiscard]] bool unheard() const;
  [[nodiscard]] std::optional<migration::MigrateOptions::TrackedSince> tracked_since() const {
    return feed_.tracked_since();
  }

  /// Paused, as pages are missing and their source is away.
  [[nodiscard]] bool waiting_for_source() const { return waiting_for_source_; }
  /// Somebody has paused the VM: it does not go on when the source is back.
  void paused() { waiting_for_source_ = false; }
  /// `ferry resume --force`: empty, or why not.
  [[nodiscard]] std::string force_resume();

  /// Until the VM may go on to another host, or for a while if that does not come about.
  boost::asio::awaitable<void> settled();
  /// This process ends, and the guest with it: a source whose VM has not been taken over is told.
  void decline();
  /// After that: until the receiver has nothing to answer any more.
  boost::asio::awaitable<void> answered();

 private:
  using KeptAtSource = migration::DestinationMigration::KeptAtSource;
  [[nodiscard]] migration::DestinationMigration::Callbacks callbacks();
  [[nodiscard]] std::unique_ptr<vmm::Machine> make_machine(
      vmm::MachineConfig config, const std::vector<devices::PciDevice>& more,
      std::uint64_t used_bytes, const migration::MakeRam& make_ram);
  void arrived(std::unique_ptr<vmm::Machine> machine, std::shared_ptr<devices::Serial> serial,
               const std::optional<KeptAtSource>& tracked_since);
  void wait_for_source(bool waiting);

  boost::asio::io_context& context_;
  const VmOfProcess& vm_;
  VmRoom& room_;
  const Callbacks callbacks_;
  std::shared_ptr<devices::Serial> serial_;  ///< the receiver's thread's, of what is on its way
  std::chrono::milliseconds timeout_{};
  bool waiting_for_source_ = false;
  TimedLatch settled_;   ///< the source knows that the VM is here
  TimedLatch answered_;  ///< the receiver has nothing to answer any more
  ChangeFeed feed_;
  std::unique_ptr<migration::DestinationMigration> incoming_;
};

}  // namespace ferry
