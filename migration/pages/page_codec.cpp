#include "migration/pages/page_codec.hpp"

#include <lz4.h>

#include "migration/wire/format.hpp"

namespace migration {

std::size_t PageCodec::room_for(std::size_t bytes) {
  return static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(bytes)));
}

std::size_t PageCodec::pack(std::span<const std::byte> pages, std::span<std::byte> into,
                            int acceleration) {
  state_.resize(static_cast<std::size_t>(LZ4_sizeofState()));
  return static_cast<std::size_t>(LZ4_compress_fast_extState(
      state_.data(), reinterpret_cast<const char*>(pages.data()),
      reinterpret_cast<char*>(into.data()), static_cast<int>(pages.size()),
      static_cast<int>(into.size()), acceleration));
}

void PageCodec::unpack(std::span<const std::byte> block, std::span<std::byte> into) {
  const int got = LZ4_decompress_safe(
      reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(into.data()),
      static_cast<int>(block.size()), static_cast<int>(into.size()));
  if (got < 0 || static_cast<std::size_t>(got) != into.size()) {
    throw wire::ProtocolError("the peer sent a damaged LZ4 block");
  }
}

}  // namespace migration
