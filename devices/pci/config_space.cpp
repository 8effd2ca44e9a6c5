#include "devices/pci/config_space.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace devices {

namespace {

// PCI local bus specification 3.0, section 6.1.
constexpr std::size_t kVendor = 0x00;
constexpr std::size_t kDevice = 0x02;
constexpr std::size_t kCommand = 0x04;
constexpr std::size_t kStatus = 0x06;
constexpr std::size_t kRevision = 0x08;
constexpr std::size_t kClass = 0x09;
constexpr std::size_t kBar = 0x10;
constexpr std::size_t kSubsystemVendor = 0x2c;
constexpr std::size_t kSubsystem = 0x2e;
constexpr std::size_t kCapabilities = 0x34;
constexpr std::size_t kInterruptLine = 0x3c;
constexpr std::size_t kHeaderBytes = 0x40;

constexpr std::byte kHasCapabilities{0x10};
/// Memory space, bus master, and no pin of an interrupt.
constexpr std::uint16_t kCommandBits = 0x0406;

template <typename Number>
void put(std::span<std::byte> bytes, std::size_t at, Number value, std::size_t size) {
  std::memcpy(bytes.subspan(at, size).data(), &value, size);
}

}  // namespace

ConfigSpace::ConfigSpace(const PciIdentity& identity)
    : end_(kHeaderBytes), last_pointer_(kCapabilities) {
  put(bytes_, kVendor, identity.vendor, 2);
  put(bytes_, kDevice, identity.device, 2);
  put(bytes_, kRevision, identity.revision, 1);
  put(bytes_, kClass, identity.class_code, 3);
  put(bytes_, kSubsystemVendor, identity.subsystem_vendor, 2);
  put(bytes_, kSubsystem, identity.subsystem, 2);
  put(writable_, kCommand, kCommandBits, 2);
  put(writable_, kInterruptLine, std::uint8_t{0xff}, 1);
}

void ConfigSpace::set_bar(std::uint32_t address, std::uint32_t bytes) {
  bar_ = address;
  bar_mask_ = ~(bytes - 1);
  put(bytes_, kBar, bar_, 4);
  put(writable_, kBar, bar_mask_, 4);
}

std::uint8_t ConfigSpace::add_capability(std::uint8_t id, std::span<const std::byte> body,
                                         std::span<const std::byte> writable) {
  const std::size_t at = end_;
  const std::size_t size = 2 + body.size();
  if (at + size > kBytes) throw std::logic_error("a PCI function of too many capabilities");
  bytes_.at(kStatus) |= kHasCapabilities;
  bytes_.at(last_pointer_) = static_cast<std::byte>(at);
  bytes_.at(at) = static_cast<std::byte>(id);
  last_pointer_ = at + 1;
  std::ranges::copy(body, bytes_.begin() + static_cast<std::ptrdiff_t>(at + 2));
  std::ranges::copy(writable, writable_.begin() + static_cast<std::ptrdiff_t>(at + 2));
  end_ = (at + size + 3) & ~std::size_t{3};
  return static_cast<std::uint8_t>(at);
}

void ConfigSpace::read(std::uint64_t offset, std::span<std::byte> data) const {
  std::ranges::copy(std::span(bytes_).subspan(offset, data.size()), data.begin());
}

void ConfigSpace::write(std::uint64_t offset, std::span<const std::byte> data) {
  for (const std::byte byte : data) {
    const std::byte mask = writable_.at(offset);
    bytes_.at(offset) = (bytes_.at(offset) & ~mask) | (byte & mask);
    ++offset;
  }
  keep_bar();
}

/// All ones ask for the size; whatever else a guest writes, the address is what it was.
void ConfigSpace::keep_bar() {
  if (u32(kBar) != bar_mask_) put(bytes_, kBar, bar_, 4);
}

std::uint16_t ConfigSpace::u16(std::uint64_t offset) const {
  std::uint16_t value = 0;
  read(offset, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

std::uint32_t ConfigSpace::u32(std::uint64_t offset) const {
  std::uint32_t value = 0;
  read(offset, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

void ConfigSpace::load(std::span<const std::byte, kBytes> saved) { write(0, saved); }

}  // namespace devices
