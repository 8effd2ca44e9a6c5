#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace devices {

inline constexpr std::size_t kSerialFifo = 16;         ///< receive FIFO of the chip
inline constexpr std::size_t kSerialInput = 4096;      ///< bytes from the host that wait for it
inline constexpr std::size_t kSerialOutput = 65536;    ///< bytes from the guest that wait for the host

/// All of a UART that migrates: registers, and every byte in flight, either way.
///
/// Saved as 8 register bytes in the order below (flags: bit 0 thr_empty_pending, bit 1 overrun),
/// then three times a little-endian u32 count and the bytes: fifo, input, output.
struct SerialState {
  std::uint8_t ier = 0;
  std::uint8_t lcr = 0;
  std::uint8_t mcr = 0;
  std::uint8_t scr = 0;
  std::uint8_t dll = 1;
  std::uint8_t dlm = 0;
  std::uint8_t fcr = 0;
  bool thr_empty_pending = false;
  bool overrun = false;
  std::vector<std::byte> fifo;
  std::vector<std::byte> input;
  std::vector<std::byte> output;

  bool operator==(const SerialState&) const = default;
};

inline constexpr std::uint32_t kSerialStateVersion = 1;
[[nodiscard]] std::vector<std::byte> encode(const SerialState& state);
/// Throws std::invalid_argument for bytes that are no sound state.
[[nodiscard]] SerialState decode_serial_state(std::uint32_t version,
                                              std::span<const std::byte> bytes);

}  // namespace devices
