#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"

/// Bytes as docs/protocol.md writes them, and what becomes of those that are wrong.
namespace migration::wire {

inline Bytes from_hex(std::string_view text) {
  Bytes out;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return out;
}

inline FrameHeader header_of(const Bytes& frame) {
  return decode_header(std::span<const std::byte, kHeaderBytes>(frame.data(), kHeaderBytes));
}
inline FrameHeader header_of(std::string_view hex) { return header_of(from_hex(hex)); }

inline Bytes frame_of(FrameType type, std::span<const std::byte> payload) {
  Bytes frame;
  put_frame(frame, type, payload);
  return frame;
}

inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ProtocolError& error) {
    return error.what();
  }
  return "no error";
}

inline void expect_error(const std::function<void()>& action, std::string_view part) {
  EXPECT_NE(error_of(action).find(part), std::string::npos) << error_of(action);
}

}  // namespace migration::wire
