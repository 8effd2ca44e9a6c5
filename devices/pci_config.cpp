#include "devices/pci_config.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace devices {

namespace {

constexpr std::uint64_t kResetControl = 1;  // port 0xcf9
constexpr std::byte kResetCpu{0x04};
constexpr std::uint64_t kData = 4;  // port 0xcfc
constexpr std::uint32_t kEnable = 1U << 31;
constexpr std::uint32_t kRegister = 0xfc;
constexpr std::uint32_t kFunction = 0x7fffff00;  // bus, device and function

/// What of the host bridge's configuration space is not zero: vendor and device, and class.
constexpr std::array<std::uint8_t, 12> kHostBridge = {0x36, 0x1b, 0x08, 0x00, 0, 0,
                                                      0,    0,    0,    0x00, 0, 0x06};

}  // namespace

void PciConfig::read(std::uint64_t offset, std::span<std::byte> data) {
  const bool reset_control = offset == kResetControl && data.size() == 1;
  std::ranges::fill(data, reset_control ? std::byte{0} : std::byte{0xff});
  const vmm::Lock lock(mutex_);
  if (offset == 0 && data.size() == sizeof(address_)) {
    std::memcpy(data.data(), &address_, sizeof(address_));
  }
  if (offset < kData || (address_ & kEnable) == 0 || (address_ & kFunction) != 0) return;
  std::uint64_t at = (address_ & kRegister) + (offset - kData);
  for (std::byte& byte : data) {
    byte = at < kHostBridge.size() ? std::byte{kHostBridge.at(at)} : std::byte{0};
    ++at;
  }
}

void PciConfig::write(std::uint64_t offset, std::span<const std::byte> data) {
  // Narrower writes go to other registers of a chip set.
  if (offset == kResetControl && data.size() == 1 && (data.front() & kResetCpu) != std::byte{0}) {
    host_.reset();
  }
  if (offset != 0 || data.size() != sizeof(address_)) return;
  const vmm::Lock lock(mutex_);
  std::memcpy(&address_, data.data(), sizeof(address_));
}

std::vector<std::byte> PciConfig::save() {
  const vmm::Lock lock(mutex_);
  std::vector<std::byte> bytes;
  vmm::ByteWriter(bytes).u32(address_);
  return bytes;
}

void PciConfig::load(std::uint32_t saved_version, std::span<const std::byte> bytes) {
  if (saved_version != version() || bytes.size() != sizeof(address_)) {
    throw std::invalid_argument("saved state of pci-config: of another version or size");
  }
  vmm::ByteReader<std::invalid_argument> reader(bytes, "saved state of pci-config");
  const vmm::Lock lock(mutex_);
  address_ = reader.u32();
}

}  // namespace devices
