#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "devices/stateless.hpp"
#include "vmm/machine/device_host.hpp"

namespace devices {

/// One port on which a guest's kernel reports its own panic, which ends the machine: QEMU's pvpanic
/// (its docs/specs/pvpanic), of which this offers the event "panicked" only, so that a guest that
/// goes on to write a crash dump says nothing yet.
class PanicPort final : public Stateless {
 public:
  explicit PanicPort(vmm::DeviceHost& host) : host_(host) {}

  [[nodiscard]] std::string_view id() const override { return "panic-port"; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  vmm::DeviceHost& host_;
};

}  // namespace devices
