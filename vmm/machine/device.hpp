#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/memory/free_page_listener.hpp"

namespace vmm {

/// What the machine knows about a device. Accesses come from vCPU threads, several at a time;
/// a device guards its own state. What it may ask of its machine is in the DeviceHost that it is
/// handed when it is made.
///
///   made, load() --> resumed() --> accesses, I/O --> request_pause() --> wait_paused() --> save()
///                        ^                                                    |
///                        +----------------------------------------------------+
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
  /// The opposite. The vCPUs may still run, or have a last access to come; no I/O of this device's
  /// own begins from now on, before resumed().
  virtual void request_pause() {}
  /// After it: waits until none is under way, so that nothing more of it reaches the guest's memory
  /// or is missing in what save() gives. False when that is not so by `deadline`, where there is
  /// one: a disk may hang, or what is under way touch a page that is missing. It does not wait for
  /// a reader of the guest's output.
  [[nodiscard]] virtual bool wait_paused(
      std::optional<std::chrono::steady_clock::time_point> /*deadline*/) {
    return true;
  }

  /// What of the host it needs, as text for the devices of the machine that the guest goes on in:
  /// one that needs nothing says nothing. At most 256 bytes.
  [[nodiscard]] virtual std::string host_part() const { return {}; }
  /// The same for people, with what went wrong there; empty where it needs nothing. Any thread.
  [[nodiscard]] virtual std::string about() const { return {}; }
  /// Takes what of the host one machine at a time may use, such as a disk: before the guest runs,
  /// and again after release(). What is held stays held. std::system_error that says who has it.
  virtual void acquire() {}
  /// The opposite, while it is paused. Everybody who takes it next finds what the guest has put
  /// there: std::system_error when that is not so, and it is held still.
  virtual void release() {}

  /// Does what release() would take long for, and may wait for the host as long as that takes: in
  /// any thread, while the guest runs or not.
  virtual void prepare_release() {}

  /// After acquire(): the guest is about to run here. What it has may be noted beside what others
  /// of this kernel find: std::system_error when it cannot be, and the guest does not run.
  virtual void note_run() {}
  /// Whether a source of this kernel can find out by that whether the guest has run here.
  [[nodiscard]] virtual bool tells_runs() const { return false; }
  /// Whether another process has now what acquire() takes; nullopt when that is nothing, or nobody
  /// can tell.
  [[nodiscard]] virtual std::optional<bool> held_elsewhere() const { return std::nullopt; }
  /// After acquire(): whether what note_run() notes still says this process. False where nobody
  /// knows.
  [[nodiscard]] virtual bool last_ran_here() const { return false; }

  /// Pages that it and its driver in the guest will most likely touch first when they go on, in
  /// that order; not each once. While it is paused; a guess.
  [[nodiscard]] virtual std::vector<PageIndex> working_set() { return {}; }

  /// Whether the guest can be asked by it which of its pages are free.
  [[nodiscard]] virtual bool tells_free_pages() const { return false; }
  /// Asks, if so: `listener` hears what the guest answers, until end_free_pages(). A page that the
  /// guest has not written since then may lose what is in it.
  virtual void ask_for_free_pages(FreePageListener& /*listener*/) {}
  /// The guest learns that it may use all of them again. On return nobody hears of any more.
  virtual void end_free_pages() {}

  /// While the machine does not run.
  [[nodiscard]] virtual std::vector<std::byte> save() = 0;
  /// Before it first runs. Throws std::invalid_argument for bytes that are not a sound state: they
  /// come from a peer.
  virtual void load(std::uint32_t version, std::span<const std::byte> bytes) = 0;
};

}  // namespace vmm
