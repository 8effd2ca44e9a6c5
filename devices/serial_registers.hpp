#pragma once

#include <cstdint>

/// Registers and bits of a 16550A; names as in its data sheet (National Semiconductor PC16550D).
namespace devices {

inline constexpr std::uint64_t kSerialRegisters = 8;

inline constexpr std::uint64_t kDataRegister = 0;  ///< RBR, THR; divisor low with DLAB
inline constexpr std::uint64_t kIer = 1;           ///< divisor high with DLAB
inline constexpr std::uint64_t kIirFcr = 2;
inline constexpr std::uint64_t kLcr = 3;
inline constexpr std::uint64_t kMcr = 4;
inline constexpr std::uint64_t kLsr = 5;
inline constexpr std::uint64_t kMsr = 6;
inline constexpr std::uint64_t kScr = 7;

inline constexpr std::uint8_t kIerReceived = 0x01;
inline constexpr std::uint8_t kIerHoldingEmpty = 0x02;
inline constexpr std::uint8_t kIerLineStatus = 0x04;
inline constexpr std::uint8_t kIerModemStatus = 0x08;
inline constexpr std::uint8_t kIerMask = 0x0f;

inline constexpr std::uint8_t kIirNone = 0x01;
inline constexpr std::uint8_t kIirModemStatus = 0x00;
inline constexpr std::uint8_t kIirHoldingEmpty = 0x02;
inline constexpr std::uint8_t kIirReceived = 0x04;
inline constexpr std::uint8_t kIirLineStatus = 0x06;
inline constexpr std::uint8_t kIirTimeout = 0x0c;
inline constexpr std::uint8_t kIirFifos = 0xc0;

inline constexpr std::uint8_t kFcrEnable = 0x01;
inline constexpr std::uint8_t kFcrClearReceiver = 0x02;
inline constexpr std::uint8_t kFcrTriggerMask = 0xc0;
inline constexpr unsigned kFcrTriggerShift = 6;

inline constexpr std::uint8_t kLcrDlab = 0x80;

inline constexpr std::uint8_t kMcrDtr = 0x01;
inline constexpr std::uint8_t kMcrRts = 0x02;
inline constexpr std::uint8_t kMcrOut1 = 0x04;
inline constexpr std::uint8_t kMcrOut2 = 0x08;
inline constexpr std::uint8_t kMcrLoop = 0x10;
inline constexpr std::uint8_t kMcrMask = 0x1f;

inline constexpr std::uint8_t kLsrDataReady = 0x01;
inline constexpr std::uint8_t kLsrOverrun = 0x02;
inline constexpr std::uint8_t kLsrHoldingEmpty = 0x20;
inline constexpr std::uint8_t kLsrTransmitterEmpty = 0x40;

inline constexpr std::uint8_t kMsrCts = 0x10;
inline constexpr std::uint8_t kMsrDsr = 0x20;
inline constexpr std::uint8_t kMsrRi = 0x40;
inline constexpr std::uint8_t kMsrDcd = 0x80;
inline constexpr std::uint8_t kMsrChanges = 0x0f;
inline constexpr std::uint8_t kMsrRiEnded = 0x04;

}  // namespace devices
