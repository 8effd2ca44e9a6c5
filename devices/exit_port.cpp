#include "devices/exit_port.hpp"

#include <algorithm>

namespace devices {

void ExitPort::read(std::uint64_t /*offset*/, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
}

void ExitPort::write(std::uint64_t /*offset*/, std::span<const std::byte> data) {
  const int code = std::to_integer<int>(data.front() & std::byte{0x3f});
  host_.end({vmm::GuestEnd::Kind::exit_code, code, {}});
}

}  // namespace devices
