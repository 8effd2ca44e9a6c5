#include "migration/pages/block_packer.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include "migration/base/elapsed.hpp"

namespace migration {

std::size_t BlockPacker::pack(std::span<const std::byte> pages, std::span<std::byte> into,
                              BlockFormat format) {
  return format == BlockFormat::zstd ? codec_.pack_zstd(pages, into)
                                     : codec_.pack(pages, into, kAcceleration);
}

CompressionPolicy::Packed BlockPacker::try_out(std::span<const std::byte> pages,
                                               BlockFormat format) {
  trial_.resize(std::max(trial_.size(), PageCodec::room_for(pages.size())));
  CompressionPolicy::Packed best{0, std::numeric_limits<double>::infinity()};
  // The first time the codec's memory is not yet there, and each may be interrupted.
  for (int i = 0; i < 2; ++i) {
    const auto start = std::chrono::steady_clock::now();
    best.out = static_cast<double>(pack(pages, trial_, format));
    best.seconds = std::min(best.seconds, seconds_since(start));
  }
  return best;
}

}  // namespace migration
