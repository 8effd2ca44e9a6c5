#include "migration/policy/push_chunk.hpp"

#include <algorithm>
#include <bit>

#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/huge_page.hpp"

namespace migration {

namespace {

/// A chunk takes about so long on the link.
constexpr double kChunkTime = 0.0005;
constexpr std::uint64_t kLeastChunk = 16;
/// Where the link carries a huge page in so short a time, chunks are huge pages.
constexpr std::uint64_t kHugeChunk = vmm::kHugePagePages;
constexpr double kHugeTime = 0.004;
/// But not while faults are many: the guest would wait often for a chunk that is on its way.
constexpr std::uint64_t kBusyChunk = 64;
constexpr std::uint64_t kFirstChunk = 64;

}  // namespace

std::uint64_t push_chunk(double bytes_per_second, bool busy) {
  if (bytes_per_second == 0) return kFirstChunk;
  if (!busy && bytes_per_second * kHugeTime >= kHugeChunk * vmm::kPageSize) return kHugeChunk;
  const auto pages = static_cast<std::uint64_t>(bytes_per_second * kChunkTime / vmm::kPageSize);
  return std::bit_floor(std::clamp(pages, kLeastChunk, busy ? kBusyChunk : kHugeChunk));
}

}  // namespace migration
