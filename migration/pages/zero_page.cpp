#include "migration/pages/zero_page.hpp"

#include <cassert>
#include <cstdint>
#include <cstring>

namespace migration {

bool is_zero(std::span<const std::byte> bytes) {
  constexpr std::size_t kBlock = 64;
  assert(bytes.size() % kBlock == 0);
  for (std::size_t at = 0; at < bytes.size(); at += kBlock) {
    std::uint64_t words[kBlock / 8];
    std::memcpy(words, bytes.data() + at, kBlock);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) any |= word;  // a loop that compilers vectorise
    if (any != 0) return false;
  }
  return true;
}

}  // namespace migration
