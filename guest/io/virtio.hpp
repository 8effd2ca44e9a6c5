#pragma once

#include <cstdint>

#include "guest/cpu/memory_map.hpp"
#include "guest/cpu/processor.hpp"
#include "guest/io/console.hpp"
#include "guest/io/pci.hpp"

namespace guest {

/// Consecutive memory of a request; `bytes` 0 where there is none.
struct VirtioPiece {
  std::uint64_t address = 0;
  std::uint32_t bytes = 0;
  bool device_writes = false;
};

struct VirtioAnswer {
  std::uint32_t slot = 0;
  std::uint32_t bytes = 0;  ///< that the device wrote
};

/// What a driver wants of a device's queues, from the first on.
struct VirtioQueues {
  std::uint32_t slots = 1;  ///< of each queue: requests at once
  std::uint32_t count = 1;
  bool first_may_be_silent = false;  ///< its requests wait for somebody else
};

/// A virtio device of the modern PCI transport and the first of its queues (virtio 1.2, sections
/// 2.7 and 4.1). A device that breaks the rules fails the machine, and so does one that is silent.
class Virtio {
 public:
  static constexpr int kMostPieces = 4;  ///< of a request
  static constexpr std::uint32_t kMostQueues = 3;

  /// Finds and starts the device that option `name` needs, with those of `features` that it offers.
  /// Errors of the device are told under `name`, with `code`.
  Virtio(std::uint16_t device, std::uint64_t features, VirtioQueues queues, const char* name,
         ExitCode code, Processor& cpu, MemoryMap& memory);

  std::uint64_t features() const { return features_; }

  /// A word of what is particular to this kind of device; 0 where it has none.
  std::uint32_t config(std::uint32_t offset) const;

  bool busy(std::uint32_t slot, std::uint32_t queue = 0) const {
    return (queues_[queue].busy >> slot & 1) != 0;
  }

  /// To be called before each round of take() with the time. It notices a device that has been
  /// silent for long, or whose interrupts have.
  void look(std::uint64_t now);

  /// The next answer; false where there is none yet.
  bool take(VirtioAnswer& answer, std::uint32_t queue = 0);

  /// Prepares a request in a slot that is not busy; notify() tells the device of all of them.
  void post(std::uint32_t slot, const VirtioPiece (&pieces)[kMostPieces], std::uint32_t queue = 0);
  void notify(std::uint32_t queue = 0);

  /// When to look again although no interrupt came.
  std::uint64_t next_look(std::uint64_t now) const;

  /// The device did what it must not.
  [[noreturn]] void fail_with(const char* what) const;

 private:
  struct CommonConfig;
  struct Ring;

  static constexpr std::uint32_t kMostEntries = 128;

  struct Queue {
    Ring* ring = nullptr;
    std::uint64_t notify = 0;  // where
    std::uint16_t entries = 0;
    std::uint16_t posted = 0;
    std::uint16_t notified = 0;
    std::uint16_t taken = 0;
    std::uint32_t busy = 0;  // a bit for each slot
    bool may_be_silent = false;
    std::uint64_t silent_for = 0;
  };

  [[noreturn]] void refuse(const char* why) const;
  std::uint64_t find_structure(std::uint8_t type, std::uint32_t least, MemoryMap& memory);
  void reset();
  void negotiate(std::uint64_t features);
  void set_up_queue(std::uint16_t index, std::uint32_t slots, MemoryMap& memory);

  const char* name_;
  ExitCode code_;
  Processor& cpu_;
  PciFunction function_;
  volatile CommonConfig* common_ = nullptr;
  std::uint64_t config_ = 0;
  std::uint32_t config_bytes_ = 0;
  std::uint64_t notify_ = 0;
  std::uint32_t notify_multiplier_ = 0;
  std::uint64_t features_ = 0;

  Queue queues_[kMostQueues];

  bool interrupts_ = false;
  std::uint64_t interrupts_seen_ = 0;
  bool announced_ = false;  // an interrupt came since the round before
  bool owed_ = false;       // an answer came and no interrupt yet
  std::uint64_t looked_ = 0;
  std::uint64_t owed_for_ = 0;
};

}  // namespace guest
