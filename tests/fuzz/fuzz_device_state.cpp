/// Feeds the decoders of saved device state with what a hostile source may send. Whatever is
/// unsound must end in std::invalid_argument; what is accepted must be saved again as it was.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <stdexcept>

#include "devices/cmos_clock.hpp"
#include "devices/serial_state.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    devices::CmosClock clock;
    clock.load(clock.version(), bytes);
    if (!std::ranges::equal(clock.save(), bytes)) std::abort();
  } catch (const std::invalid_argument&) {
    // Refused, with a reason.
  }
  try {
    const auto state = devices::decode_serial_state(devices::SerialState::kVersion, bytes);
    if (!std::ranges::equal(devices::encode(state), bytes)) std::abort();
  } catch (const std::invalid_argument&) {
    // Refused, with a reason.
  }
  return 0;
}
