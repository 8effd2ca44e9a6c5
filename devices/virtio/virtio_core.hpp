#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "devices/virtio/queue.hpp"
#include "devices/virtio/served_queue.hpp"
#include "devices/virtio/virtio_device.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"
#include "vmm/machine/device_host.hpp"
#include "vmm/os/event_fd.hpp"
#include "vmm/os/mutex.hpp"

namespace devices::virtio {

/// What a driver has told of a queue, and how far that is.
struct QueueSetup {
  QueueState state;
  bool enabled = false;  ///< then nothing of it changes
};

/// A device as its driver brings it up and resets it (virtio 1.2, section 3), by whatever
/// transport. Any thread, several at a time.
///
///   reset --> features agreed --> queues told --> DRIVER_OK: served --> reset
///                                                      |
///                                the driver broke the rules: needs a reset
class VirtioCore {
 public:
  // Of the device's status.
  static constexpr std::uint8_t kDriverOk = 4;
  static constexpr std::uint8_t kFeaturesOk = 8;
  static constexpr std::uint8_t kNeedsReset = 64;

  // Features of every device.
  static constexpr std::uint64_t kIndirect = std::uint64_t{1} << 28;
  static constexpr std::uint64_t kEventIndex = std::uint64_t{1} << 29;
  static constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;

  /// Both tell the driver something, from any thread.
  struct Callbacks {
    std::function<void(unsigned queue)> used;
    std::function<void()> config_changed;
  };

  VirtioCore(std::shared_ptr<VirtioDevice> device, vmm::DeviceHost& host, Callbacks callbacks);
  ~VirtioCore();
  VirtioCore(const VirtioCore&) = delete;
  VirtioCore& operator=(const VirtioCore&) = delete;

  [[nodiscard]] VirtioDevice& device() const { return *device_; }
  [[nodiscard]] std::shared_ptr<VirtioDevice> shared_device() const { return device_; }
  [[nodiscard]] unsigned queue_count() const { return static_cast<unsigned>(sizes_.size()); }
  /// What the driver signals when there are requests in a queue that it has.
  [[nodiscard]] vmm::EventFd& notification(unsigned queue) { return notifications_.at(queue); }

  [[nodiscard]] std::uint64_t offered() const { return offered_; }
  [[nodiscard]] std::uint64_t driver_features();
  /// Until they are agreed.
  void set_driver_features(std::uint64_t features);
  [[nodiscard]] std::uint8_t status();
  /// Zero resets. That takes until nothing is under way any more: then it reads as zero, and till
  /// then all else that the driver writes is forgotten.
  void set_status(std::uint8_t status);
  /// Of a queue that is not there: no entries.
  [[nodiscard]] QueueSetup queue(unsigned index);
  /// Until it is enabled.
  void set_queue(unsigned index, const QueueSetup& setup);
  /// The device's own configuration; beyond it there are zeros.
  void read_config(std::uint64_t offset, std::span<std::byte> data) const;
  void write_config(std::uint64_t offset, std::span<const std::byte> data);
  /// Another one each time that the device has changed it.
  [[nodiscard]] std::uint8_t config_generation() const { return config_generation_; }

  // As of vmm::Device.
  void resumed();
  void request_pause();
  [[nodiscard]] bool wait_paused(const ServedQueue::Deadline& deadline);
  [[nodiscard]] std::vector<vmm::PageIndex> working_set();
  void save(vmm::ByteWriter& out);
  void load(vmm::ByteReader<std::invalid_argument>& from);

 private:
  using Queues = std::vector<std::shared_ptr<ServedQueue>>;  ///< null: not enabled

  void begin_reset();
  void end_reset();
  void serve() FERRY_REQUIRES(mutex_);
  [[nodiscard]] std::shared_ptr<ServedQueue> make_queue(unsigned index) FERRY_REQUIRES(mutex_);
  void needs_reset();
  void config_changed();
  [[nodiscard]] Queues queues();

  const std::shared_ptr<VirtioDevice> device_;
  vmm::DeviceHost& host_;
  const Callbacks callbacks_;
  const std::vector<std::uint16_t> sizes_;
  const std::uint64_t offered_;
  std::deque<vmm::EventFd> notifications_;
  std::atomic<std::uint8_t> config_generation_{0};

  vmm::Mutex mutex_;
  std::uint8_t status_ FERRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t driver_features_ FERRY_GUARDED_BY(mutex_) = 0;
  std::vector<QueueSetup> setups_ FERRY_GUARDED_BY(mutex_);
  Queues queues_ FERRY_GUARDED_BY(mutex_);  ///< empty while none is served
  bool resetting_ FERRY_GUARDED_BY(mutex_) =
      false;  ///< its queues are still there, or being stopped
  bool stopping_ FERRY_GUARDED_BY(mutex_) = false;
  bool running_ FERRY_GUARDED_BY(mutex_) = false;
  bool loaded_ = false;  ///< and not resumed since; the machine's thread's
};

}  // namespace devices::virtio
