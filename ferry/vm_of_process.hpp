#pragma once

#include <cassert>
#include <memory>
#include <optional>
#include <utility>

#include "vmm/machine/machine.hpp"

namespace ferry {

/// Where the VM of a process is. Each step is one function of VmOfProcess:
///
///     awaited -> here <-> lent -> kept
///                         lent -> gone
enum class VmPlace {
  awaited,  ///< not here yet; what has come of it the DestinationMigration has
  here,     ///< its machine is ours
  lent,     ///< the SourceMigration has the machine, and knows who owns the VM
  kept,     ///< it has left, and its image is kept here for its return
  gone,     ///< it has left, and the process ends
};

/// The VM of this process: where it is, what it is, and its machine while that is ours.
class VmOfProcess {
 public:
  [[nodiscard]] VmPlace place() const { return place_; }
  /// A migration has the machine, or had it and has taken the VM away.
  [[nodiscard]] bool with_migration() const {
    return place_ == VmPlace::lent || place_ == VmPlace::gone;
  }
  /// Null unless the VM is here.
  [[nodiscard]] vmm::Machine* machine() const { return machine_.get(); }
  /// None before the VM has come. It stays when the VM leaves.
  [[nodiscard]] const std::optional<vmm::MachineConfig>& config() const { return config_; }

  /// The VM has come, or has come back.
  void take(std::unique_ptr<vmm::Machine> machine) {
    assert(place_ == VmPlace::awaited || place_ == VmPlace::lent);
    machine_ = std::move(machine);
    if (!config_) config_ = machine_->config();
    place_ = VmPlace::here;
  }
  /// For a migration, which gives the machine back, or else the VM has left.
  [[nodiscard]] std::unique_ptr<vmm::Machine> lend() {
    assert(place_ == VmPlace::here);
    place_ = VmPlace::lent;
    return std::move(machine_);
  }
  /// `kept`: its image stays.
  void left(bool kept) {
    assert(place_ == VmPlace::lent);
    place_ = kept ? VmPlace::kept : VmPlace::gone;
  }

 private:
  VmPlace place_ = VmPlace::awaited;
  std::unique_ptr<vmm::Machine> machine_;
  std::optional<vmm::MachineConfig> config_;
};

}  // namespace ferry
