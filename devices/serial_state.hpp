#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace devices {

/// The registers of a 16550A as the guest programmed them, and what it has not yet been told.
struct SerialRegisters {
  std::uint8_t interrupt_enable = 0;
  std::uint8_t fifo_control = 0;  ///< FIFO enable and receiver trigger level only
  std::uint8_t line_control = 0;
  std::uint8_t modem_control = 0;
  std::uint8_t modem_changes = 0;  ///< low half of the modem status register
  std::uint8_t scratch = 0;
  std::uint8_t divisor_low = 12;  ///< 9600 baud; no time passes here, but it can be read back
  std::uint8_t divisor_high = 0;
  bool overrun = false;        ///< a byte was lost since the line status was last read
  bool holding_empty = false;  ///< transmitter-empty interrupt not yet taken notice of

  bool operator==(const SerialRegisters&) const = default;
};

/// All that migrates of a Serial: with the queues, no byte is lost or doubled on the way.
struct SerialState {
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::size_t kFifoBytes = 16;
  static constexpr std::size_t kInputBytes = 4096;
  static constexpr std::size_t kOutputBytes = 65536;

  SerialRegisters registers;
  std::vector<std::byte> fifo;    ///< received; at most kFifoBytes, or 1 with the FIFO disabled
  std::vector<std::byte> input;   ///< offered by the host, not yet received; at most kInputBytes
  std::vector<std::byte> output;  ///< sent, not yet taken by the host; at most kOutputBytes

  bool operator==(const SerialState&) const = default;
};

/// The saved form: ten bytes of registers, three lengths of 32 bits, then fifo, input and output.
/// Little-endian; the order is that of the fields above.
[[nodiscard]] std::vector<std::byte> encode(const SerialState& state);
/// The bytes come from a peer: std::invalid_argument for whatever no Serial can be in.
[[nodiscard]] SerialState decode_serial_state(std::uint32_t version,
                                              std::span<const std::byte> bytes);

}  // namespace devices
