#pragma once

#include "devices/exit_port.hpp"

namespace devices {

/// The keyboard controller's ports 0x60 to 0x64, as far as guests need them to reset the machine:
/// command 0xfe ends it. There is no keyboard, and a guest that looks for one sees that at once.
class I8042 : public vmm::Device {
 public:
  explicit I8042(EndMachine end) : end_(std::move(end)) {}

  [[nodiscard]] std::string_view id() const override { return "i8042"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

 private:
  EndMachine end_;
};

}  // namespace devices
