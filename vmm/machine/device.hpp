#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vmm {

/// What the machine knows about a device. Accesses come from vCPU threads, several at a time;
/// a device guards its own state. What it may ask of its machine is in the DeviceHost that it is
/// handed when it is made.
///
///   made, load() --> resumed() --> accesses, I/O of its own --> pause() --> save()
///                        ^                                         |
///                        +-----------------------------------------+
class Device {
 public:
  virtual ~Device() = default;

  /// Unique in its machine and stable over versions, for example "serial0".
  [[nodiscard]] virtual std::string_view id() const = 0;
  [[nodiscard]] virtual std::uint32_t version() const = 0;

  /// `offset` is relative to the base of the range that the device was attached at; `data` has 1,
  /// 2, 4 or 8 bytes.
  virtual void read(std::uint64_t offset, std::span<std::byte> data) = 0;
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;

  /// The vCPUs are about to run: for the first time, or again.
  virtual void resumed() {}
  /// The opposite: the vCPUs have stopped. On return no thread and no I/O of this device's own is
  /// under way, and none begins before resumed(): nothing of it reaches the guest's memory, or is
  /// missing in what save() gives. It waits for what always ends, such as a request to a disk, and
  /// never for somebody who may stall, such as a reader of the guest's output. (A vCPU that waits
  /// for a missing page counts as stopped: its last access may still come, and until then nothing
  /// is saved.)
  virtual void pause() {}

  /// While the machine does not run.
  [[nodiscard]] virtual std::vector<std::byte> save() = 0;
  /// Before it first runs. Throws std::invalid_argument for bytes that are not a sound state: they
  /// come from a peer.
  virtual void load(std::uint32_t version, std::span<const std::byte> bytes) = 0;
};

}  // namespace vmm
