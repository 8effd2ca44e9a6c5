#include "guest/io/line.hpp"

namespace guest {

void Line::put(char character) {
  if (size_ < kCapacity) text_[size_++] = character;
}

Line& Line::operator<<(const char* text) {
  for (; *text != '\0'; ++text) put(*text);
  return *this;
}

Line& Line::append(const char* text, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) put(text[i]);
  return *this;
}

Line& Line::operator<<(std::uint64_t number) {
  char digits[20];
  std::size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) put(digits[--count]);
  return *this;
}

Line& Line::hex(std::uint64_t number) {
  *this << "0x";
  int shift = 60;
  while (shift > 0 && (number >> shift) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[(number >> shift) & 0xf]);
  return *this;
}

}  // namespace guest
