#include "devices/serial_state.hpp"

#include <fmt/format.h>

#include <initializer_list>
#include <stdexcept>

#include "devices/serial_registers.hpp"

namespace devices {

namespace {

[[noreturn]] void unsound(const std::string& what) {
  throw std::invalid_argument("saved state of a serial port: " + what);
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::span<const std::byte> take(std::size_t count) {
    if (count > rest_.size()) unsound("truncated");
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  std::uint32_t integer(std::size_t size) {
    std::uint32_t value = 0;
    const auto bytes = take(size);
    for (std::size_t i = 0; i < size; ++i) {
      value |= std::to_integer<std::uint32_t>(bytes[i]) << (8 * i);
    }
    return value;
  }
  /// A register; bits outside `mask` do not exist.
  std::uint8_t bits(std::uint8_t mask, const char* name) {
    const std::uint32_t value = integer(1);
    if ((value & ~std::uint32_t{mask}) != 0) unsound(fmt::format("{} is 0x{:x}", name, value));
    return static_cast<std::uint8_t>(value);
  }
  std::size_t length(std::size_t limit, const char* name) {
    const std::size_t value = integer(4);
    if (value > limit) unsound(fmt::format("{} has {} bytes, of at most {}", name, value, limit));
    return value;
  }
  std::vector<std::byte> bytes(std::size_t count) {
    const auto taken = take(count);
    return {taken.begin(), taken.end()};
  }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
};

void put(std::vector<std::byte>& out, std::uint32_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

void put_length(std::vector<std::byte>& out, const std::vector<std::byte>& queue) {
  put(out, static_cast<std::uint32_t>(queue.size()), 4);
}

}  // namespace

std::vector<std::byte> encode(const SerialState& state) {
  const SerialRegisters& regs = state.registers;
  std::vector<std::byte> out;
  for (const std::uint8_t value :
       {regs.interrupt_enable, regs.fifo_control, regs.line_control, regs.modem_control,
        regs.modem_changes, regs.scratch, regs.divisor_low, regs.divisor_high}) {
    put(out, value, 1);
  }
  put(out, regs.overrun ? 1 : 0, 1);
  put(out, regs.holding_empty ? 1 : 0, 1);
  for (const auto* queue : {&state.fifo, &state.input, &state.output}) put_length(out, *queue);
  for (const auto* queue : {&state.fifo, &state.input, &state.output}) {
    out.insert(out.end(), queue->begin(), queue->end());
  }
  return out;
}

SerialState decode_serial_state(std::uint32_t version, std::span<const std::byte> bytes) {
  if (version != SerialState::kVersion) {
    unsound(fmt::format("version {}, and this Ferry reads {}", version, SerialState::kVersion));
  }
  Reader in(bytes);
  SerialState state;
  SerialRegisters& regs = state.registers;
  regs.interrupt_enable = in.bits(kIerMask, "interrupt enable");
  regs.fifo_control = in.bits(kFcrEnable | kFcrTriggerMask, "FIFO control");
  regs.line_control = in.bits(0xff, "line control");
  regs.modem_control = in.bits(kMcrMask, "modem control");
  regs.modem_changes = in.bits(kMsrChanges, "modem changes");
  regs.scratch = in.bits(0xff, "scratch");
  regs.divisor_low = in.bits(0xff, "divisor");
  regs.divisor_high = in.bits(0xff, "divisor");
  regs.overrun = in.bits(1, "overrun") != 0;
  regs.holding_empty = in.bits(1, "transmitter-empty interrupt") != 0;

  const bool fifo = (regs.fifo_control & kFcrEnable) != 0;
  const std::size_t fifo_bytes = in.length(fifo ? SerialState::kFifoBytes : 1, "receiver FIFO");
  const std::size_t input_bytes = in.length(SerialState::kInputBytes, "input queue");
  const std::size_t output_bytes = in.length(SerialState::kOutputBytes, "output queue");
  state.fifo = in.bytes(fifo_bytes);
  state.input = in.bytes(input_bytes);
  state.output = in.bytes(output_bytes);
  if (!in.empty()) unsound("stray bytes at its end");
  return state;
}

}  // namespace devices
