#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "migration/reuse/room_ledger.hpp"

namespace ferry {

/// Throws Failure when the host can never give a guest so much RAM.
void check_host_memory(std::uint64_t bytes);

/// The bytes that this process may still take of its host and its cgroups, as far as they tell.
[[nodiscard]] std::optional<std::uint64_t> memory_room();

/// Where processes of one user note the memory, and the room in tmpfs stores, that they have been
/// promised: /run/ferry/ledger for root, else /tmp/ferry-UID.
[[nodiscard]] std::filesystem::path ledger_directory();
/// Null, which is told, when that directory cannot be used: others are not heard of then.
[[nodiscard]] std::shared_ptr<const migration::RoomLedger> open_ledger();

/// Memory that this process has been promised, and takes by and by.
class MemoryPromise {
 public:
  /// Of `needed` bytes so many are there already, as an image of the VM. Throws Failure when this
  /// process may not take the others now, besides what its neighbours have been promised; it names
  /// the host or the cgroup that has too little, and how much. `overcommit`: it is only noted. It
  /// binds nobody but other receivers: guests take memory too.
  MemoryPromise(const migration::RoomLedger* ledger, std::uint64_t needed, std::uint64_t there,
                bool overcommit);

  /// Notes for others how much is taken by now: as much as this process has grown.
  void update();

 private:
  std::uint64_t resident_before_;
  std::unique_ptr<migration::RoomLedger::Promise> noted_;
};

}  // namespace ferry
