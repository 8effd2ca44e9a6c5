#pragma once

#include <cstddef>
#include <span>

/// What a page looks like, as far as it decides how the page travels.
namespace migration {

/// Whether all bytes are zero. A page with data is told by its first bytes; a zero page is read
/// whole, at memory speed.
[[nodiscard]] bool is_zero(std::span<const std::byte> page);

/// Whether LZ4 may shrink the page, guessed from how many different values a sample of its bytes
/// has: random, encrypted and already compressed data has nearly as many as there can be. A wrong
/// guess costs bytes or time and nothing else.
[[nodiscard]] bool looks_compressible(std::span<const std::byte> page);

}  // namespace migration
