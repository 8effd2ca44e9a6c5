#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ferry/host_memory.hpp"
#include "ferry/store_watch.hpp"
#include "ferry/vm_of_process.hpp"
#include "migration/reuse/image_store.hpp"

namespace ferry {

/// The memory, and the room in a tmpfs store, that this process has been promised for its VM: what
/// it has taken of it, and what when others have filled the store.
class VmRoom {
 public:
  struct Options {
    /// Where images are kept; null: in the user's default place, as anonymous memory is copied.
    std::shared_ptr<migration::ImageStore> image_store = nullptr;
    /// What other processes have been promised; null: nobody is asked.
    std::shared_ptr<const migration::RoomLedger> ledger = nullptr;
    bool overcommit = false;
  };

  /// `ram_lost` is called in the main thread: what was in the store is gone, and the VM with it.
  VmRoom(boost::asio::io_context& context, const Options& options, const VmOfProcess& vm,
         std::function<void()> ram_lost);

  // The receiver's thread.
  /// Of memory for a VM that is offered. Throws Failure when there is too little.
  [[nodiscard]] std::shared_ptr<MemoryPromise> promise(const vmm::MachineConfig& config,
                                                       std::uint64_t used_bytes) const;
  /// That VM comes.
  void hold(std::shared_ptr<MemoryPromise> promise);
  /// No more memory is to come.
  void release_promise() { promise_.reset(); }

  // The main thread.
  /// Looks at both again and again, until there is nothing to look at. While the VM migrates, the
  /// migration looks after its RAM.
  void watch();
  /// At the RAM of the VM that is here, now.
  void look();
  /// The process ends: nobody looks any more.
  void stop() { stopped_ = true; }
  /// What looks at RAM meanwhile, in the thread that drives the machine.
  [[nodiscard]] std::function<void(vmm::Machine&)> look_of_migration() const;
  /// Where the image of a VM that leaves is kept; Conflict when nowhere.
  [[nodiscard]] std::shared_ptr<migration::ImageStore> store_for_image();

 private:
  [[nodiscard]] std::uint64_t kept_of(const std::string& vm_id) const;

  boost::asio::io_context& context_;
  std::shared_ptr<migration::ImageStore> image_store_;
  const std::shared_ptr<const migration::RoomLedger> ledger_;
  const bool overcommit_;
  const VmOfProcess& vm_;
  const std::function<void()> ram_lost_;
  std::shared_ptr<MemoryPromise> promise_;      ///< the receiver's thread's
  std::weak_ptr<MemoryPromise> watched_;        ///< the same, as long as memory is to come
  const std::shared_ptr<StoreWatch> in_store_;  ///< null: RAM is in no store
  boost::asio::steady_timer next_look_;
  bool stopped_ = false;
};

}  // namespace ferry
