#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "devices/virtio/served_queue.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"
#include "vmm/machine/device_host.hpp"
#include "vmm/memory/free_page_listener.hpp"
#include "vmm/os/mutex.hpp"

namespace devices::virtio {

/// What kind of device it is (virtio 1.2, section 5), behind whatever transport. What travels of
/// one are its queues, its features and its transport, and what it saves itself.
class VirtioDevice {
 public:
  VirtioDevice() = default;
  virtual ~VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;

  /// Its number in the specification.
  [[nodiscard]] virtual std::uint16_t type() const = 0;
  /// Its own features (bits 0 to 23), of those that it can have here.
  [[nodiscard]] virtual std::uint64_t features() const = 0;
  /// The most entries of each queue: powers of two.
  [[nodiscard]] virtual std::span<const std::uint16_t> queue_sizes() const = 0;
  /// It writes to the memory that its requests give for that. Else that is only named, and not
  /// touched.
  [[nodiscard]] virtual bool writes() const { return true; }
  /// Its configuration, as the driver reads it.
  [[nodiscard]] virtual std::vector<std::byte> config() const { return {}; }
  /// The driver writes there: any offset, so many bytes. Any thread.
  virtual void write_config(std::uint64_t /*offset*/, std::span<const std::byte> /*bytes*/) {}

  /// Before all else, once: its machine, and what tells the driver, if there is one, that the
  /// configuration has changed. Both are there until detach().
  void attach(vmm::DeviceHost& host, std::function<void()> config_changed);
  void detach();

  // As of vmm::Device.
  [[nodiscard]] virtual std::string host_part() const { return {}; }
  [[nodiscard]] virtual std::string about() const { return {}; }
  virtual void acquire() {}
  virtual void release() {}
  virtual void prepare_release() {}
  virtual void note_run() {}
  [[nodiscard]] virtual bool tells_runs() const { return false; }
  [[nodiscard]] virtual std::optional<bool> held_elsewhere() const { return std::nullopt; }
  [[nodiscard]] virtual bool last_ran_here() const { return false; }
  [[nodiscard]] virtual bool tells_free_pages() const { return false; }
  virtual void ask_for_free_pages(vmm::FreePageListener& /*listener*/) {}
  virtual void end_free_pages() {}
  // Its queues are resumed and paused by others.
  virtual void resumed() {}
  virtual void request_pause() {}
  /// The guest, which had another machine so far, is about to be resumed for the first time here.
  virtual void arrived() {}

  /// What of its own travels. The loaded bytes come from a peer: std::invalid_argument when they
  /// are unsound.
  virtual void save(vmm::ByteWriter& /*out*/) const {}
  virtual void load(vmm::ByteReader<std::invalid_argument>& /*from*/) {}

  /// The driver has chosen so: a subset of features(). Before any queue is served; again after a
  /// reset, when none is any more.
  virtual void begin(std::uint64_t /*features*/) {}
  /// There may be requests in that queue: takes them until there are none. In the queue's own
  /// thread; the requests are completed in any, soon: a queue waits for that.
  virtual void serve(unsigned index, ServedQueue& queue) = 0;
  /// A descriptor, or -1: while it is readable and requests are left in that queue, they are served
  /// without a notification.
  [[nodiscard]] virtual int source(unsigned /*index*/) const { return -1; }

 protected:
  virtual void attached(vmm::DeviceHost& /*host*/) {}
  /// Tells the driver. Any thread, which holds nothing that config() takes.
  void tell_config_changed();

 private:
  vmm::Mutex connection_mutex_;
  std::function<void()> config_changed_ FERRY_GUARDED_BY(connection_mutex_);
};

}  // namespace devices::virtio
