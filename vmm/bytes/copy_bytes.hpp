#pragma once

#include <cassert>
#include <cstddef>
#include <cstring>
#include <span>

namespace vmm {

/// Copies all of `from` to the start of `to`; they do not overlap. std::ranges::copy() of bytes is
/// a loop of single bytes where libstdc++ is that of GCC 12.
inline void copy_bytes(std::span<const std::byte> from, std::span<std::byte> to) {
  assert(from.size() <= to.size());
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

}  // namespace vmm
