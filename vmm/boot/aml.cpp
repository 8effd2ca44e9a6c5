#include "vmm/boot/aml.hpp"

#include <cctype>

#include "vmm/bytes/byte_writer.hpp"

namespace vmm::aml {

namespace {

std::string byte(std::uint64_t value) { return std::string(1, static_cast<char>(value)); }

std::string little_endian(std::uint64_t value, unsigned bytes) {
  std::string text;
  append_little_endian(text, value, bytes);
  return text;
}

/// `opcode`, the length of what follows including the length itself, and `body`. The length has
/// one byte below 64; else the first byte says how many follow it, and has its low four bits.
std::string sized(std::string_view opcode, std::string_view body) {
  std::string text(opcode);
  if (body.size() + 1 < 64) return text.append(byte(body.size() + 1)).append(body);
  unsigned more = 1;
  while (body.size() + 1 + more >= std::uint64_t{1} << (4 + 8 * more)) ++more;
  const std::uint64_t length = body.size() + 1 + more;
  text += byte(more << 6 | (length & 0xf));
  return text.append(little_endian(length >> 4, more)).append(body);
}

bool is_eisa_id(std::string_view id) {
  if (id.size() != 7) return false;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const auto character = static_cast<unsigned char>(id[i]);
    if (i < 3 ? std::isupper(character) == 0 : std::isxdigit(character) == 0) return false;
  }
  return true;
}

/// Of an address space descriptor: both ends are fixed, and the device produces what it tells.
constexpr std::uint64_t kFixedProducer = 0x0c;

}  // namespace

std::string integer(std::uint64_t value) {
  if (value <= 1) return byte(value);  // ZeroOp, OneOp
  if (value <= 0xff) return "\x0a" + little_endian(value, 1);
  if (value <= 0xffff) return "\x0b" + little_endian(value, 2);
  if (value <= 0xffffffff) return "\x0c" + little_endian(value, 4);
  return "\x0e" + little_endian(value, 8);
}

std::string string(std::string_view text) {
  return std::string("\x0d").append(text).append(1, '\0');
}

std::string hardware_id(std::string_view id) {
  if (!is_eisa_id(id)) return string(id);
  // Five bits a letter, then the digits: big-endian in a double word.
  std::uint32_t value = 0;
  for (const char letter : id.substr(0, 3)) {
    value = value << 5 | (static_cast<std::uint32_t>(letter) - 0x40);
  }
  value =
      value << 16 | static_cast<std::uint32_t>(std::stoul(std::string(id.substr(3)), nullptr, 16));
  return "\x0c" + little_endian(__builtin_bswap32(value), 4);
}

std::string name(std::string_view name_segment, std::string_view object) {
  return std::string("\x08").append(name_segment).append(object);
}

std::string package(std::initializer_list<std::string> elements) {
  std::string body = byte(elements.size());
  for (const std::string& element : elements) body += element;
  return sized("\x12", body);
}

std::string scope(std::string_view name_string, std::string_view terms) {
  return sized("\x10", std::string(name_string).append(terms));
}

std::string device(std::string_view name_segment, std::string_view terms) {
  return sized("\x5b\x82", std::string(name_segment).append(terms));
}

std::string resources(std::string_view descriptors) {
  std::string bytes(descriptors);
  bytes.append("\x79").append(1, '\0');  // a checksum of zero is not checked
  return sized("\x11", integer(bytes.size()) + bytes);
}

std::string io_ports(std::uint16_t first, std::uint8_t count) {
  // 16-bit decode; the base may be `first` only.
  return "\x47\x01" + little_endian(first, 2) + little_endian(first, 2) + byte(1) + byte(count);
}

std::string bus_numbers(std::uint16_t first, std::uint16_t last) {
  constexpr std::uint64_t kBuses = 2;
  return "\x88" + little_endian(13, 2) + byte(kBuses) + byte(kFixedProducer) + byte(0) +
         little_endian(0, 2) + little_endian(first, 2) + little_endian(last, 2) +
         little_endian(0, 2) + little_endian(std::uint64_t{last} - first + 1, 2);
}

std::string memory_window(std::uint32_t base, std::uint32_t bytes) {
  constexpr std::uint64_t kMemory = 0;
  constexpr std::uint64_t kWritable = 1;
  return "\x87" + little_endian(23, 2) + byte(kMemory) + byte(kFixedProducer) + byte(kWritable) +
         little_endian(0, 4) + little_endian(base, 4) +
         little_endian(std::uint64_t{base} + bytes - 1, 4) + little_endian(0, 4) +
         little_endian(bytes, 4);
}

std::string edge_interrupt(std::uint32_t gsi) {
  constexpr std::uint64_t kConsumerEdgeHigh = 0x3;
  return "\x89" + little_endian(6, 2) + byte(kConsumerEdgeHigh) + byte(1) + little_endian(gsi, 4);
}

}  // namespace vmm::aml
