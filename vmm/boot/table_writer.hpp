#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "vmm/bytes/byte_writer.hpp"

namespace vmm {

/// Puts the bytes of a firmware table together: little-endian, without padding.
class TableWriter {
 public:
  TableWriter& u8(std::uint64_t value) { return number(value, 1); }
  TableWriter& u16(std::uint64_t value) { return number(value, 2); }
  TableWriter& u32(std::uint64_t value) { return number(value, 4); }
  TableWriter& u64(std::uint64_t value) { return number(value, 8); }
  TableWriter& zeros(std::size_t count) {
    bytes_.append(count, '\0');
    return *this;
  }
  TableWriter& text(std::string_view text) {
    bytes_.append(text);
    return *this;
  }
  /// A generic address structure: a register of `size` bytes in the port space.
  TableWriter& ports(std::uint16_t first, std::uint8_t size) {
    constexpr std::uint64_t kSystemIo = 1;
    const std::uint64_t access = size == 1 ? 1 : 2;  // bytes; else words
    return u8(kSystemIo).u8(size * 8ULL).u8(0).u8(access).u64(first);
  }
  TableWriter& align(std::size_t alignment) {
    return zeros((alignment - bytes_.size() % alignment) % alignment);
  }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  /// With zeros behind them, up to `size`.
  [[nodiscard]] std::string padded(std::size_t size) const {
    std::string whole = bytes_;
    whole.resize(size);
    return whole;
  }
  /// With the byte at `at` (zero so far) such that all of them add up to zero.
  [[nodiscard]] std::string checksummed(std::size_t at) const {
    unsigned sum = 0;
    for (const char byte : bytes_) sum += static_cast<unsigned char>(byte);
    std::string whole = bytes_;
    whole.at(at) = static_cast<char>(-sum & 0xff);
    return whole;
  }

 private:
  TableWriter& number(std::uint64_t value, unsigned size) {
    append_little_endian(bytes_, value, size);
    return *this;
  }

  std::string bytes_;
};

}  // namespace vmm
