#include "devices/i8042.hpp"

#include <algorithm>
#include <stdexcept>

namespace devices {

namespace {

constexpr std::uint64_t kCommand = 4;  // port 0x64: status when read
constexpr std::byte kReset{0xfe};

}  // namespace

void I8042::read(std::uint64_t offset, std::span<std::byte> data) {
  // Status 0: no data waits, and commands are taken at once.
  std::ranges::fill(data, offset == kCommand ? std::byte{0} : std::byte{0xff});
}

void I8042::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset == kCommand && data.front() == kReset) end_({vmm::GuestEnd::Kind::power_off, 0, {}});
}

void I8042::load(std::uint32_t version, std::span<const std::byte> bytes) {
  if (version != 1 || !bytes.empty()) throw std::invalid_argument("unsound state of the i8042");
}

}  // namespace devices
