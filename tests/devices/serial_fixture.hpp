#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "devices/serial.hpp"
#include "devices/serial_registers.hpp"
#include "tests/devices/fake_host.hpp"

namespace devices {

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// A serial port whose interrupt line is noted, as a guest and a host use it.
struct SerialUnderTest {
  FakeHost host;
  Serial serial{"serial0", host, 4};

  [[nodiscard]] bool irq() const { return !host.levels.empty() && host.levels.back(); }

  std::uint8_t in(std::uint64_t offset) {
    std::byte value{};
    serial.read(offset, std::span(&value, 1));
    return std::to_integer<std::uint8_t>(value);
  }
  void out(std::uint64_t offset, unsigned value) {
    const std::byte byte{static_cast<std::uint8_t>(value)};
    serial.write(offset, std::span(&byte, 1));
  }

  void print(std::string_view text) {
    for (const char character : text) out(kDataRegister, static_cast<std::uint8_t>(character));
  }
  /// Reads as a polling driver does.
  std::string read_all() {
    std::string text;
    while ((in(kLsr)&kLsrDataReady) != 0) text += static_cast<char>(in(kDataRegister));
    return text;
  }
  /// How much of it the serial port took.
  std::size_t type(std::string_view text) {
    std::size_t taken = 0;
    bool room = true;
    while (room && taken < text.size()) {
      room = serial.fill([&](std::span<std::byte> into) {
        const auto bytes = as_bytes(text).subspan(taken);
        const std::size_t count = std::min(into.size(), bytes.size());
        std::ranges::copy(bytes.first(count), into.begin());
        taken += count;
        return count;
      });
    }
    return taken;
  }
  /// What the host takes, when it takes at most `limit` bytes in all.
  std::string drain(std::size_t limit = SIZE_MAX) {
    std::string text;
    serial.drain([&](std::span<const std::byte> bytes) {
      const std::size_t count = std::min(bytes.size(), limit - text.size());
      text.append(reinterpret_cast<const char*>(bytes.data()), count);
      return count;
    });
    return text;
  }
};

}  // namespace devices
