#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "devices/stateless.hpp"

namespace devices {

/// Of the keyboard controller at ports 0x60 and 0x64 only the reset command. There is no keyboard,
/// and a driver that looks for one finds that out at once.
class I8042 final : public Stateless {
 public:
  explicit I8042(std::function<void()> reset) : reset_(std::move(reset)) {}

  [[nodiscard]] std::string_view id() const override { return "i8042"; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  const std::function<void()> reset_;
};

}  // namespace devices
