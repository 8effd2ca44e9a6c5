#pragma once

#include <array>
#include <cstddef>

namespace migration {

/// The keyed hash of a page's content, and the key.
using PageHash = std::array<std::byte, 16>;
using HashKey = std::array<std::byte, 16>;

}  // namespace migration
