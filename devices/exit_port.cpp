#include "devices/exit_port.hpp"

#include <algorithm>
#include <stdexcept>

namespace devices {

void ExitPort::read(std::uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
}

void ExitPort::write(std::uint64_t, std::span<const std::byte> data) {
  end_({vmm::GuestEnd::Kind::exit_code, std::to_integer<int>(data.front()) & 0x3f, {}});
}

void ExitPort::load(std::uint32_t version, std::span<const std::byte> bytes) {
  if (version != 1 || !bytes.empty()) throw std::invalid_argument("unsound state of the exit port");
}

}  // namespace devices
