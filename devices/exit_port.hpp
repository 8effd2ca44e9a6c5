#pragma once

#include <functional>

#include "vmm/machine/device.hpp"
#include "vmm/machine/guest_end.hpp"

namespace devices {

using EndMachine = std::function<void(vmm::GuestEnd)>;

/// One byte-wide port: what the guest writes ends the machine, with the low 6 bits as exit code.
class ExitPort : public vmm::Device {
 public:
  explicit ExitPort(EndMachine end) : end_(std::move(end)) {}

  [[nodiscard]] std::string_view id() const override { return "exit"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

 private:
  EndMachine end_;
};

}  // namespace devices
