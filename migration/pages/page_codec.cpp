#include "migration/pages/page_codec.hpp"

#include <lz4.h>

#include "migration/wire/format.hpp"

namespace migration {

namespace {

void check(int got, std::size_t wanted) {
  if (got < 0 || static_cast<std::size_t>(got) != wanted) {
    throw wire::ProtocolError("the peer sent a damaged LZ4 block");
  }
}

}  // namespace

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
  check(got, into.size());
}

std::size_t PageCodec::pack_delta(std::span<const std::byte> page, std::span<const std::byte> base,
                                  std::span<std::byte> into) {
  state_.resize(static_cast<std::size_t>(LZ4_sizeofState()));
  auto* const stream = reinterpret_cast<LZ4_stream_t*>(state_.data());
  LZ4_loadDict(stream, reinterpret_cast<const char*>(base.data()), static_cast<int>(base.size()));
  return static_cast<std::size_t>(LZ4_compress_fast_continue(
      stream, reinterpret_cast<const char*>(page.data()), reinterpret_cast<char*>(into.data()),
      static_cast<int>(page.size()), static_cast<int>(into.size()), 1));
}

void PageCodec::unpack_delta(std::span<const std::byte> block, std::span<const std::byte> base,
                             std::span<std::byte> into) {
  check(LZ4_decompress_safe_usingDict(
            reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(into.data()),
            static_cast<int>(block.size()), static_cast<int>(into.size()),
            reinterpret_cast<const char*>(base.data()), static_cast<int>(base.size())),
        into.size());
}

}  // namespace migration
