#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "devices/virtio/virtio_device.hpp"

namespace devices::virtio {

/// The entropy device (virtio 1.2, section 5.4): random bytes of the host's kernel.
class Entropy final : public VirtioDevice {
 public:
  [[nodiscard]] std::uint16_t type() const override { return 4; }
  [[nodiscard]] std::uint64_t features() const override { return 0; }
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override { return kSizes; }
  void serve(unsigned index, ServedQueue& queue) override;

 private:
  static constexpr std::array<std::uint16_t, 1> kSizes = {64};
};

}  // namespace devices::virtio
