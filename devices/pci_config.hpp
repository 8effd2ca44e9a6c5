#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "devices/pci/pci_bus.hpp"
#include "vmm/machine/device.hpp"
#include "vmm/machine/device_host.hpp"
#include "vmm/os/mutex.hpp"

namespace devices {

/// The PCI configuration mechanism at ports 0xcf8 to 0xcff, by which a guest reaches a bus. Linux
/// takes a machine without any way to reach PCI for a broken one. Among these ports, as a byte, is
/// the chip set's reset control register, 0xcf9: it reads as zero.
class PciConfig final : public vmm::Device {
 public:
  static constexpr std::uint16_t kBase = 0xcf8;
  static constexpr std::uint16_t kPorts = 8;

  PciConfig(vmm::DeviceHost& host, std::shared_ptr<const PciBus> bus)
      : host_(host), bus_(std::move(bus)) {}

  [[nodiscard]] std::string_view id() const override { return "pci-config"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  /// The address register, little-endian.
  [[nodiscard]] std::vector<std::byte> save() override;
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

 private:
  [[nodiscard]] PciFunction* function(std::uint32_t address) const;

  vmm::DeviceHost& host_;
  const std::shared_ptr<const PciBus> bus_;
  vmm::Mutex mutex_;
  std::uint32_t address_ FERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace devices
