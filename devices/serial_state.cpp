#include "devices/serial_state.hpp"

#include <stdexcept>

namespace devices {

namespace {

void put_queue(std::vector<std::byte>& out, std::span<const std::byte> queue) {
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<std::byte>(queue.size() >> shift));
  }
  out.insert(out.end(), queue.begin(), queue.end());
}

std::vector<std::byte> take_queue(std::span<const std::byte>& bytes, std::size_t limit) {
  if (bytes.size() < 4) throw std::invalid_argument("the state of a serial port is truncated");
  std::size_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) size |= std::to_integer<std::size_t>(bytes[i]) << (8 * i);
  bytes = bytes.subspan(4);
  if (size > limit || size > bytes.size()) {
    throw std::invalid_argument("the state of a serial port has an unsound queue");
  }
  const auto queue = bytes.first(size);
  bytes = bytes.subspan(size);
  return {queue.begin(), queue.end()};
}

}  // namespace

std::vector<std::byte> encode(const SerialState& state) {
  std::vector<std::byte> out;
  const unsigned flags = (state.thr_empty_pending ? 1U : 0U) | (state.overrun ? 2U : 0U);
  for (const unsigned reg : {unsigned{state.ier}, unsigned{state.lcr}, unsigned{state.mcr},
                             unsigned{state.scr}, unsigned{state.dll}, unsigned{state.dlm},
                             unsigned{state.fcr}, flags}) {
    out.push_back(static_cast<std::byte>(reg));
  }
  put_queue(out, state.fifo);
  put_queue(out, state.input);
  put_queue(out, state.output);
  return out;
}

SerialState decode_serial_state(std::uint32_t version, std::span<const std::byte> bytes) {
  if (version != kSerialStateVersion) {
    throw std::invalid_argument("the state of a serial port has an unknown version");
  }
  if (bytes.size() < 8) throw std::invalid_argument("the state of a serial port is truncated");
  const auto reg = [&](std::size_t i) { return std::to_integer<std::uint8_t>(bytes[i]); };
  SerialState state{.ier = reg(0),
                    .lcr = reg(1),
                    .mcr = reg(2),
                    .scr = reg(3),
                    .dll = reg(4),
                    .dlm = reg(5),
                    .fcr = reg(6),
                    .thr_empty_pending = (reg(7) & 1) != 0,
                    .overrun = (reg(7) & 2) != 0,
                    .fifo = {},
                    .input = {},
                    .output = {}};
  bytes = bytes.subspan(8);
  state.fifo = take_queue(bytes, kSerialFifo);
  state.input = take_queue(bytes, kSerialInput);
  state.output = take_queue(bytes, kSerialOutput);
  if (!bytes.empty()) throw std::invalid_argument("the state of a serial port has stray bytes");
  return state;
}

}  // namespace devices
