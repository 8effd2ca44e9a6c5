#include "migration/pages/zero_page.hpp"

#include <cassert>
#include <cstdint>
#include <cstring>

namespace migration {

bool is_zero(std::span<const std::byte> bytes) {
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kAhead = 8 * kLine;
  assert(bytes.size() % kLine == 0);
  const std::byte* const data = bytes.data();
  // Most pages show in their first line that they are not zero. The pages behind are looked at
  // next: their first line is on its way meanwhile. (A prefetch never faults.)
  __builtin_prefetch(data + bytes.size());
  for (std::size_t at = 0; at < bytes.size(); at += kLine) {
    std::uint64_t words[kLine / 8];
    std::memcpy(words, data + at, kLine);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) any |= word;  // a loop that compilers vectorise
    if (any != 0) return false;
    __builtin_prefetch(data + at + kAhead);
  }
  return true;
}

}  // namespace migration
