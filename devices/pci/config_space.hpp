#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "devices/pci/pci_function.hpp"

namespace devices {

/// Who a PCI function is.
struct PciIdentity {
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint32_t class_code = 0;  ///< class, subclass and programming interface, 24 bits
  std::uint8_t revision = 0;
  std::uint16_t subsystem_vendor = 0;
  std::uint16_t subsystem = 0;
};

/// The configuration space of a PCI function of header type 0: its bytes, and which bits of them a
/// guest can change. It does nothing by itself, and its owner locks it.
class ConfigSpace {
 public:
  static constexpr std::size_t kBytes = PciFunction::kConfigBytes;

  explicit ConfigSpace(const PciIdentity& identity);

  /// Base address register 0: 32-bit memory of `bytes`, a power of two. A guest may ask for its
  /// size, and not move it.
  void set_bar(std::uint32_t address, std::uint32_t bytes);
  /// Appends a capability of that id, whose bytes after the header are `body`; returns where it
  /// is. `writable`: the bits of `body` that a guest can change; none where it ends.
  std::uint8_t add_capability(std::uint8_t id, std::span<const std::byte> body,
                              std::span<const std::byte> writable = {});

  /// The range lies within the space.
  void read(std::uint64_t offset, std::span<std::byte> data) const;
  void write(std::uint64_t offset, std::span<const std::byte> data);
  [[nodiscard]] std::uint16_t u16(std::uint64_t offset) const;
  [[nodiscard]] std::uint32_t u32(std::uint64_t offset) const;

  /// All of it. What a guest cannot change is what it is here.
  [[nodiscard]] std::span<const std::byte, kBytes> bytes() const { return bytes_; }
  void load(std::span<const std::byte, kBytes> saved);

 private:
  void keep_bar();

  std::array<std::byte, kBytes> bytes_{};
  std::array<std::byte, kBytes> writable_{};
  std::uint32_t bar_ = 0;
  std::uint32_t bar_mask_ = 0;
  std::size_t end_;           ///< of the capabilities so far
  std::size_t last_pointer_;  ///< where the next one is to be entered
};

}  // namespace devices
