#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "devices/stateless.hpp"
#include "vmm/machine/device_host.hpp"

namespace devices {

/// Of the keyboard controller at ports 0x60 and 0x64 only the reset command. There is no keyboard,
/// and a driver that looks for one finds that out at once.
class I8042 final : public Stateless {
 public:
  explicit I8042(vmm::DeviceHost& host) : host_(host) {}

  [[nodiscard]] std::string_view id() const override { return "i8042"; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  vmm::DeviceHost& host_;
};

}  // namespace devices
