#pragma once

#include <cstddef>
#include <span>

namespace migration {

/// Whether all bytes are zero. A page with data is told by its first bytes; a zero page is read
/// whole, at memory speed.
[[nodiscard]] bool is_zero(std::span<const std::byte> bytes);

}  // namespace migration
