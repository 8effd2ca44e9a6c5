#include "devices/serial_state.hpp"

#include <fmt/format.h>

#include <initializer_list>
#include <stdexcept>

#include "devices/serial_registers.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/byte_writer.hpp"

namespace devices {

namespace {

[[noreturn]] void unsound(const std::string& what) {
  throw std::invalid_argument("saved state of a serial port: " + what);
}

using Reader = vmm::ByteReader<std::invalid_argument>;

/// A register; bits outside `mask` do not exist.
std::uint8_t read_bits(Reader& in, std::uint8_t mask, const char* name) {
  const unsigned value = in.u8();
  if ((value & ~unsigned{mask}) != 0) unsound(fmt::format("{} is 0x{:x}", name, value));
  return static_cast<std::uint8_t>(value);
}

std::size_t read_length(Reader& in, std::size_t limit, const char* name) {
  const std::size_t value = in.u32();
  if (value > limit) unsound(fmt::format("{} has {} bytes, of at most {}", name, value, limit));
  return value;
}

std::vector<std::byte> read_queue(Reader& in, std::size_t size) {
  const auto bytes = in.bytes(size);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::vector<std::byte> encode(const SerialState& state) {
  const SerialRegisters& regs = state.registers;
  std::vector<std::byte> out;
  vmm::ByteWriter writer(out);
  for (const std::uint8_t value :
       {regs.interrupt_enable, regs.fifo_control, regs.line_control, regs.modem_control,
        regs.modem_changes, regs.scratch, regs.divisor_low, regs.divisor_high}) {
    writer.u8(value);
  }
  writer.u8(regs.overrun ? 1 : 0);
  writer.u8(regs.holding_empty ? 1 : 0);
  for (const auto* queue : {&state.fifo, &state.input, &state.output}) {
    writer.u32(static_cast<std::uint32_t>(queue->size()));
  }
  for (const auto* queue : {&state.fifo, &state.input, &state.output}) writer.bytes(*queue);
  return out;
}

SerialState decode_serial_state(std::uint32_t version, std::span<const std::byte> bytes) {
  if (version != SerialState::kVersion) {
    unsound(fmt::format("version {}, and this Ferry reads {}", version, SerialState::kVersion));
  }
  Reader in(bytes, "saved state of a serial port");
  SerialState state;
  SerialRegisters& regs = state.registers;
  regs.interrupt_enable = read_bits(in, kIerMask, "interrupt enable");
  regs.fifo_control = read_bits(in, kFcrEnable | kFcrTriggerMask, "FIFO control");
  regs.line_control = read_bits(in, 0xff, "line control");
  regs.modem_control = read_bits(in, kMcrMask, "modem control");
  regs.modem_changes = read_bits(in, kMsrChanges, "modem changes");
  regs.scratch = read_bits(in, 0xff, "scratch");
  regs.divisor_low = read_bits(in, 0xff, "divisor");
  regs.divisor_high = read_bits(in, 0xff, "divisor");
  regs.overrun = read_bits(in, 1, "overrun") != 0;
  regs.holding_empty = read_bits(in, 1, "transmitter-empty interrupt") != 0;

  const bool fifo = (regs.fifo_control & kFcrEnable) != 0;
  const std::size_t fifo_bytes =
      read_length(in, fifo ? SerialState::kFifoBytes : 1, "receiver FIFO");
  const std::size_t input_bytes = read_length(in, SerialState::kInputBytes, "input queue");
  const std::size_t output_bytes = read_length(in, SerialState::kOutputBytes, "output queue");
  state.fifo = read_queue(in, fifo_bytes);
  state.input = read_queue(in, input_bytes);
  state.output = read_queue(in, output_bytes);
  in.finish();
  return state;
}

}  // namespace devices
