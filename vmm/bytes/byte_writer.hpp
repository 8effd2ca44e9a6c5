#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vmm {

/// Appends the lowest `size` bytes of `value`, the lowest first, to bytes or characters.
template <typename Container>
void append_little_endian(Container& out, std::uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) {
    out.push_back(static_cast<typename Container::value_type>(value >> 8 * i & 0xff));
  }
}

/// Appends little-endian values, without padding, to bytes that outlive this object.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>& out) : out_(out) {}

  void u8(std::uint8_t value) { append_little_endian(out_, value, 1); }
  void u16(std::uint16_t value) { append_little_endian(out_, value, 2); }
  void u32(std::uint32_t value) { append_little_endian(out_, value, 4); }
  void u64(std::uint64_t value) { append_little_endian(out_, value, 8); }
  void bytes(std::span<const std::byte> value) {
    out_.insert(out_.end(), value.begin(), value.end());
  }
  void text(std::string_view value) { bytes(std::as_bytes(std::span(value))); }

 private:
  std::vector<std::byte>& out_;
};

}  // namespace vmm
