#include "migration/base/page_content.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>

#include "migration/base/xxhash.hpp"

namespace migration {

bool is_zero(std::span<const std::byte> page) {
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kAhead = 8 * kLine;
  assert(page.size() % kLine == 0);
  const std::byte* const data = page.data();
  // Most pages show in their first line that they are not zero. The pages behind are looked at
  // next: their first line is on its way meanwhile. (A prefetch never faults.)
  __builtin_prefetch(data + page.size());
  for (std::size_t at = 0; at < page.size(); at += kLine) {
    std::uint64_t words[kLine / 8];
    std::memcpy(words, data + at, kLine);
    std::uint64_t any = 0;
    for (const std::uint64_t word : words) any |= word;  // a loop that compilers vectorise
    if (any != 0) return false;
    __builtin_prefetch(data + at + kAhead);
  }
  return true;
}

std::optional<std::uint64_t> repeated_word(std::span<const std::byte> page) {
  std::uint64_t word = 0, next = 0;
  std::memcpy(&word, page.data(), sizeof word);
  std::memcpy(&next, &page[sizeof word], sizeof next);
  if (word != next) return std::nullopt;
  const std::size_t rest = page.size() - sizeof word;
  if (std::memcmp(page.data(), &page[sizeof word], rest) != 0) return std::nullopt;
  return word;
}

bool looks_compressible(std::span<const std::byte> page) {
  // 32 bytes drawn evenly from 256 values have 30 different ones; fewer than 27 hardly ever.
  constexpr std::size_t kSamples = 32;
  constexpr int kTooMany = 27;
  // An odd step reaches every place within a word.
  const std::size_t step = (page.size() / kSamples - 1) | 1;
  std::array<std::uint64_t, 4> seen{};
  for (std::size_t i = 0; i < kSamples; ++i) {
    const auto value = std::to_integer<unsigned>(page[i * step]);
    seen[value / 64] |= std::uint64_t{1} << (value % 64);
  }
  int different = 0;
  for (const std::uint64_t word : seen) different += std::popcount(word);
  return different < kTooMany;
}

std::uint64_t digest_of(std::span<const std::byte> page) {
  return XXH3_64bits(page.data(), page.size());
}

}  // namespace migration
