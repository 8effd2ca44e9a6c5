#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "devices/stateless.hpp"
#include "vmm/machine/device_host.hpp"

namespace devices {

/// One port: what the guest writes there ends the machine, with the low 6 bits as the exit status.
class ExitPort final : public Stateless {
 public:
  explicit ExitPort(vmm::DeviceHost& host) : host_(host) {}

  [[nodiscard]] std::string_view id() const override { return "exit-port"; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  vmm::DeviceHost& host_;
};

}  // namespace devices
