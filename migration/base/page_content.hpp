#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// What a page looks like, as far as it decides how the page travels, and how it is told from
/// others.
namespace migration {

/// Whether all bytes are zero. A page with data is told by its first bytes; a zero page is read
/// whole, at memory speed.
[[nodiscard]] bool is_zero(std::span<const std::byte> page);

/// The word that the page repeats, if it is nothing else.
[[nodiscard]] std::optional<std::uint64_t> repeated_word(std::span<const std::byte> page);

/// Whether LZ4 may shrink the page, guessed from how many different values a sample of its bytes
/// has: random, encrypted and already compressed data has nearly as many as there can be. A wrong
/// guess costs bytes or time and nothing else.
[[nodiscard]] bool looks_compressible(std::span<const std::byte> page);

/// Its 64-bit XXH3: shows damage, and protects from no forger.
[[nodiscard]] std::uint64_t digest_of(std::span<const std::byte> page);

}  // namespace migration
