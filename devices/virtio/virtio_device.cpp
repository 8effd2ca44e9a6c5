#include "devices/virtio/virtio_device.hpp"

#include <utility>

namespace devices::virtio {

void VirtioDevice::attach(vmm::DeviceHost& host, std::function<void()> config_changed) {
  attached(host);
  const vmm::Lock lock(connection_mutex_);
  config_changed_ = std::move(config_changed);
}

void VirtioDevice::detach() {
  const vmm::Lock lock(connection_mutex_);
  config_changed_ = nullptr;
}

void VirtioDevice::tell_config_changed() {
  const vmm::Lock lock(connection_mutex_);
  if (config_changed_) config_changed_();
}

}  // namespace devices::virtio
