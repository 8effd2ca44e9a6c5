#pragma once

#include <cstdint>

namespace migration {

/// How many pages post-copy pushes in one piece, over a link of so many bytes per second, which is
/// 0 while it is not known. A vCPU may have to wait for the piece that is on its way: so it is
/// small, and the smaller while there are many faults (`busy`). A power of two, of one huge page at
/// most: the destination can install that whole.
[[nodiscard]] std::uint64_t push_chunk(double bytes_per_second, bool busy);

}  // namespace migration
