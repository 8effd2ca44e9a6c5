#include "devices/pci_config.hpp"

#include <algorithm>
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
constexpr std::uint32_t kSlot = 11;                // the bit that it begins at
constexpr std::uint32_t kNotOfSlots = 0x7fff0700;  // bus and function, and what is reserved

}  // namespace

/// Null where nobody answers.
PciFunction* PciConfig::function(std::uint32_t address) const {
  if ((address & kEnable) == 0 || (address & kNotOfSlots) != 0) return nullptr;
  return bus_->at((address >> kSlot) % PciBus::kSlots);
}

void PciConfig::read(std::uint64_t offset, std::span<std::byte> data) {
  const bool reset_control = offset == kResetControl && data.size() == 1;
  std::ranges::fill(data, reset_control ? std::byte{0} : std::byte{0xff});
  vmm::Lock lock(mutex_);
  const std::uint32_t address = address_;
  lock.unlock();
  if (offset == 0 && data.size() == sizeof(address)) {
    std::memcpy(data.data(), &address, sizeof(address));
  }
  if (offset < kData) return;
  if (PciFunction* function = this->function(address)) {
    function->read_config((address & kRegister) + (offset - kData), data);
  }
}

void PciConfig::write(std::uint64_t offset, std::span<const std::byte> data) {
  // Narrower writes go to other registers of a chip set.
  if (offset == kResetControl && data.size() == 1 && (data.front() & kResetCpu) != std::byte{0}) {
    host_.reset();
  }
  vmm::Lock lock(mutex_);
  if (offset == 0 && data.size() == sizeof(address_)) {
    std::memcpy(&address_, data.data(), sizeof(address_));
  }
  const std::uint32_t address = address_;
  lock.unlock();
  if (offset < kData) return;
  // Without the lock: a device may take its time.
  if (PciFunction* function = this->function(address)) {
    function->write_config((address & kRegister) + (offset - kData), data);
  }
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
