#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/machine/device.hpp"
#include "vmm/os/mutex.hpp"

namespace devices {

/// The clock of a PC's CMOS chip (Motorola's MC146818) at ports 0x70 and 0x71: it has the host's
/// time, in UTC, which the guest cannot set. It counts in BCD and up to 24 hours. It interrupts
/// nobody (no alarm, no ticks), and its memory of a few bytes reads as zero.
class CmosClock final : public vmm::Device {
 public:
  static constexpr std::uint16_t kBase = 0x70;
  static constexpr std::uint16_t kPorts = 2;
  static constexpr std::uint8_t kCentury = 0x32;  ///< the register; firmware tells which it is

  /// UTC since 1970.
  using Now = std::function<std::chrono::system_clock::time_point()>;
  explicit CmosClock(Now now = &std::chrono::system_clock::now) : now_(std::move(now)) {}

  [[nodiscard]] std::string_view id() const override { return "cmos-clock"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  /// The index register: one byte below 128.
  [[nodiscard]] std::vector<std::byte> save() override;
  void load(std::uint32_t version, std::span<const std::byte> bytes) override;

 private:
  const Now now_;
  vmm::Mutex mutex_;
  std::uint8_t index_ FERRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace devices
