#include "devices/acpi_pm.hpp"

#include <stdexcept>

#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace devices {

namespace {

constexpr std::uint16_t kAlwaysAcpiMode = 1U << 0;  // SCI_EN
constexpr std::uint16_t kSleepEnable = 1U << 13;    // SLP_EN
constexpr unsigned kSleepTypeShift = 10;
constexpr std::uint16_t kSleepTypeMask = 7;

std::uint8_t byte_of(std::uint16_t value, std::uint64_t index) {
  return static_cast<std::uint8_t>(value >> 8 * index);
}

void set_byte(std::uint16_t& value, std::uint64_t index, std::uint8_t byte) {
  const auto shift = 8 * index;
  value = static_cast<std::uint16_t>((value & ~(0xffU << shift)) | unsigned{byte} << shift);
}

}  // namespace

std::uint8_t AcpiPm::read_byte(std::uint64_t offset) const {
  switch (offset) {
    case 2:
    case 3: return byte_of(state_.enable, offset - 2);
    case 4:
    case 5: return byte_of(state_.control | kAlwaysAcpiMode, offset - 4);
    default: return 0;
  }
}

void AcpiPm::write_byte(std::uint64_t offset, std::uint8_t value) {
  switch (offset) {
    case 2:
    case 3: return set_byte(state_.enable, offset - 2, value);
    case 4:
    case 5: return set_byte(state_.control, offset - 4, value);
    case kResetOffset:
      if (value == kReset) host_.reset();
      return;
    default: return;
  }
}

void AcpiPm::read(std::uint64_t offset, std::span<std::byte> data) {
  const vmm::Lock lock(mutex_);
  for (std::byte& byte : data) byte = static_cast<std::byte>(read_byte(offset++));
}

void AcpiPm::write(std::uint64_t offset, std::span<const std::byte> data) {
  const vmm::Lock lock(mutex_);
  for (const std::byte byte : data) write_byte(offset++, std::to_integer<std::uint8_t>(byte));
  if ((state_.control & kSleepEnable) == 0) return;
  state_.control &= static_cast<std::uint16_t>(~kSleepEnable);
  if ((state_.control >> kSleepTypeShift & kSleepTypeMask) != kSoftOff) return;
  host_.end({vmm::GuestEnd::Kind::power_off, 0, {}});
}

std::vector<std::byte> AcpiPm::save() {
  const vmm::Lock lock(mutex_);
  std::vector<std::byte> bytes;
  vmm::ByteWriter writer(bytes);
  writer.u16(state_.enable);
  writer.u16(state_.control);
  return bytes;
}

void AcpiPm::load(std::uint32_t saved_version, std::span<const std::byte> bytes) {
  if (saved_version != version() || bytes.size() != 4) {
    throw std::invalid_argument("saved state of acpi-pm: of another version or size");
  }
  vmm::ByteReader<std::invalid_argument> reader(bytes, "saved state of acpi-pm");
  const AcpiPmState state{reader.u16(), reader.u16()};
  if ((state.control & kSleepEnable) != 0) {
    throw std::invalid_argument("saved state of acpi-pm: it would be asleep");
  }
  const vmm::Lock lock(mutex_);
  state_ = state;
}

}  // namespace devices
