#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "vmm/bytes/copy_bytes.hpp"

namespace vmm {

/// What ByteReader says of bytes that are too few, or that are left.
[[nodiscard]] std::string tell_truncated(std::string_view what);
[[nodiscard]] std::string tell_stray(std::size_t bytes, std::string_view what);

/// Takes little-endian values off the front of bytes, which may be anything: throws an Error, made
/// of a message, where they are too few.
template <typename Error>
class ByteReader {
 public:
  /// `what` the bytes are, for the messages. Both outlive this object.
  ByteReader(std::span<const std::byte> bytes, std::string_view what) : rest_(bytes), what_(what) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(integer(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(integer(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(integer(4)); }
  std::uint64_t u64() { return integer(8); }
  /// So many bytes, where they are.
  std::span<const std::byte> bytes(std::size_t count) {
    if (count > rest_.size()) throw Error(tell_truncated(what_));
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  void fill(std::span<std::byte> into) { copy_bytes(bytes(into.size()), into); }
  std::string text(std::size_t size) {
    const auto from = bytes(size);
    return {reinterpret_cast<const char*>(from.data()), from.size()};
  }

  [[nodiscard]] std::size_t left() const { return rest_.size(); }
  /// Throws when bytes are left.
  void finish() const {
    if (!rest_.empty()) throw Error(tell_stray(rest_.size(), what_));
  }

 private:
  std::uint64_t integer(std::size_t size) {
    std::uint64_t value = 0;
    const auto from = bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
      value |= std::to_integer<std::uint64_t>(from[i]) << (8 * i);
    }
    return value;
  }

  std::span<const std::byte> rest_;
  std::string_view what_;
};

}  // namespace vmm
