#include "devices/panic_port.hpp"

#include <algorithm>

namespace devices {

namespace {

constexpr std::byte kPanicked{0x01};

}  // namespace

void PanicPort::read(std::uint64_t /*offset*/, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  data.front() = kPanicked;  // the events that it knows
}

void PanicPort::write(std::uint64_t /*offset*/, std::span<const std::byte> data) {
  if ((data.front() & kPanicked) == std::byte{0}) return;
  host_.end({vmm::GuestEnd::Kind::crashed, 0, "its kernel panicked, as it reported itself"});
}

}  // namespace devices
