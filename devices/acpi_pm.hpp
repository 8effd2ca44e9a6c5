#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vmm/machine/device.hpp"
#include "vmm/machine/device_host.hpp"
#include "vmm/os/mutex.hpp"

namespace devices {

/// All that migrates of an AcpiPm: what the guest wrote.
struct AcpiPmState {
  std::uint16_t enable = 0;
  std::uint16_t control = 0;  ///< without SLP_EN, which is never kept
};

/// The fixed hardware of ACPI (its specification, section 4.8), as far as powering off and a reset
/// need it: PM1 status, enable and control registers, and the reset register, on nine ports. No
/// event ever happens.
class AcpiPm final : public vmm::Device {
 public:
  static constexpr std::uint16_t kPorts = 9;
  static constexpr std::uint16_t kEventOffset = 0;    ///< status, enable: two bytes each
  static constexpr std::uint16_t kControlOffset = 4;  ///< two bytes
  static constexpr std::uint16_t kResetOffset = 8;
  static constexpr std::uint8_t kSoftOff = 5;  ///< the sleep type that powers off
  static constexpr std::uint8_t kReset = 1;    ///< what the reset register wants

  explicit AcpiPm(vmm::DeviceHost& host) : host_(host) {}

  [[nodiscard]] std::string_view id() const override { return "acpi-pm"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  /// `enable`, then `control`, little-endian.
  [[nodiscard]] std::vector<std::byte> save() override;
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

 private:
  [[nodiscard]] std::uint8_t read_byte(std::uint64_t offset) const FERRY_REQUIRES(mutex_);
  void write_byte(std::uint64_t offset, std::uint8_t value) FERRY_REQUIRES(mutex_);

  vmm::DeviceHost& host_;
  vmm::Mutex mutex_;
  AcpiPmState state_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace devices
