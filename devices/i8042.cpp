#include "devices/i8042.hpp"

#include <algorithm>

namespace devices {

namespace {

constexpr std::uint64_t kStatusCommand = 4;  // port 0x64
constexpr std::byte kPulseReset{0xfe};

// The output buffer stays full however often it is read: Linux's driver gives up after 16 bytes
// (i8042_flush) instead of waiting half a second for the answer to a command. The input buffer is
// empty, so that a reboot sends its command without waiting (kb_wait).
constexpr std::byte kStatus{0x01};

}  // namespace

void I8042::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (offset == kStatusCommand) data.front() = kStatus;
}

void I8042::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset == kStatusCommand && data.front() == kPulseReset) host_.reset();
}

}  // namespace devices
