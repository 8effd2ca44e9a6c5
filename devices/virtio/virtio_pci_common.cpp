#include <algorithm>
#include <cstring>

#include "devices/virtio/virtio_pci.hpp"

/// The common configuration of a virtio device on PCI: virtio 1.2, section 4.1.4.3.
namespace devices::virtio {

namespace {

// Where its fields are.
constexpr std::uint64_t kDeviceSelect = 0;
constexpr std::uint64_t kDeviceFeature = 4;
constexpr std::uint64_t kDriverSelect = 8;
constexpr std::uint64_t kDriverFeature = 12;
constexpr std::uint64_t kConfigVector = 16;
constexpr std::uint64_t kQueueCount = 18;
constexpr std::uint64_t kStatus = 20;
constexpr std::uint64_t kConfigGeneration = 21;
constexpr std::uint64_t kQueueSelect = 22;
constexpr std::uint64_t kQueueSize = 24;
constexpr std::uint64_t kQueueVector = 26;
constexpr std::uint64_t kQueueEnable = 28;
constexpr std::uint64_t kQueueNotify = 30;
constexpr std::uint64_t kQueueDescriptors = 32;
constexpr std::uint64_t kQueueDriver = 40;
constexpr std::uint64_t kQueueDevice = 48;

/// The number that a guest writes, and nothing of others that are as wide.
std::uint64_t number(std::span<const std::byte> data) {
  std::uint64_t value = 0;
  std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
  return value;
}

/// A feature word of two; what lies beyond is not there.
std::uint32_t half(std::uint64_t features, std::uint32_t select) {
  return select < 2 ? static_cast<std::uint32_t>(features >> 32 * select) : 0;
}

}  // namespace

VirtioPci::Common VirtioPci::common() {
  const std::uint64_t driver_features = core_.driver_features();
  const std::uint8_t status = core_.status();
  Common image{};
  const auto put = [&image](std::uint64_t offset, auto value) {
    std::memcpy(&image[offset], &value, sizeof(value));
  };
  const vmm::Lock lock(mutex_);
  put(kDeviceSelect, device_select_);
  put(kDeviceFeature, half(core_.offered(), device_select_));
  put(kDriverSelect, driver_select_);
  put(kDriverFeature, half(driver_features, driver_select_));
  put(kConfigVector, config_vector_);
  put(kQueueCount, static_cast<std::uint16_t>(core_.queue_count()));
  put(kStatus, status);
  put(kConfigGeneration, core_.config_generation());
  put(kQueueSelect, queue_select_);
  if (queue_select_ >= core_.queue_count()) return image;
  const QueueSetup setup = core_.queue(queue_select_);
  put(kQueueSize, setup.state.size);
  put(kQueueVector, queue_vectors_[queue_select_]);
  put(kQueueEnable, static_cast<std::uint16_t>(setup.enabled ? 1 : 0));
  put(kQueueNotify, queue_select_);
  put(kQueueDescriptors, setup.state.descriptors);
  put(kQueueDriver, setup.state.driver_area);
  put(kQueueDevice, setup.state.device_area);
  return image;
}

void VirtioPci::write_common(std::uint64_t offset, std::span<const std::byte> data) {
  const std::uint64_t value = number(data);
  if (offset == kStatus) {
    if (value == 0) forget_vectors();
    core_.set_status(static_cast<std::uint8_t>(value));
    return;
  }
  const vmm::Lock lock(mutex_);
  switch (offset) {
    case kDeviceSelect: device_select_ = static_cast<std::uint32_t>(value); return;
    case kDriverSelect: driver_select_ = static_cast<std::uint32_t>(value); return;
    case kDriverFeature: {
      if (driver_select_ > 1) return;
      const std::uint64_t low = std::uint64_t{0xffffffff};
      const std::uint64_t others = core_.driver_features() & ~(low << 32 * driver_select_);
      core_.set_driver_features(others | (value & low) << 32 * driver_select_);
      return;
    }
    case kConfigVector: config_vector_ = checked_vector(static_cast<std::uint16_t>(value)); return;
    case kQueueSelect: queue_select_ = static_cast<std::uint16_t>(value); return;
    default: write_queue(offset, data);
  }
}

void VirtioPci::write_queue(std::uint64_t offset, std::span<const std::byte> data) {
  if (queue_select_ >= core_.queue_count()) return;
  const std::uint64_t value = number(data);
  QueueSetup setup = core_.queue(queue_select_);
  // A driver may write an address in halves.
  const auto set_address = [&](std::uint64_t& address, std::uint64_t into) {
    const auto bytes = std::as_writable_bytes(std::span(&address, 1)).subspan(into);
    std::ranges::copy(data.first(std::min(data.size(), bytes.size())), bytes.begin());
  };
  switch (offset) {
    case kQueueSize: setup.state.size = static_cast<std::uint16_t>(value); break;
    case kQueueVector:
      queue_vectors_[queue_select_] = checked_vector(static_cast<std::uint16_t>(value));
      return;
    case kQueueEnable: setup.enabled = value == 1; break;
    case kQueueDescriptors:
    case kQueueDescriptors + 4: set_address(setup.state.descriptors, offset % 8); break;
    case kQueueDriver:
    case kQueueDriver + 4: set_address(setup.state.driver_area, offset % 8); break;
    case kQueueDevice:
    case kQueueDevice + 4: set_address(setup.state.device_area, offset % 8); break;
    default: return;
  }
  core_.set_queue(queue_select_, setup);
}

}  // namespace devices::virtio
