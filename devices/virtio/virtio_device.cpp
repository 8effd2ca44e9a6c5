#include "devices/virtio/virtio_device.hpp"

#include <utility>

namespace devices::virtio {

void VirtioDevice::connect(std::function<void()> config_changed) {
  const vmm::Lock lock(connection_mutex_);
  config_changed_ = std::move(config_changed);
}

void VirtioDevice::tell_config_changed() {
  const vmm::Lock lock(connection_mutex_);
  if (config_changed_) config_changed_();
}

}  // namespace devices::virtio
