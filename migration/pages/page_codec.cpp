#include "migration/pages/page_codec.hpp"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <new>

#include "migration/wire/format.hpp"

namespace migration {

namespace {

void check(int got, std::size_t wanted) {
  if (got < 0 || static_cast<std::size_t>(got) != wanted) {
    throw wire::ProtocolError("the peer sent a damaged LZ4 block");
  }
}

/// Level 3 takes a quarter longer; it shrinks programs by 4 % more, pages of text by no more.
constexpr int kZstdLevel = 1;

/// A frame that says what is in it, and nothing before or behind it: ZSTD_decompressDCtx() would
/// take several frames, what is to be skipped, and formats of the past.
bool is_one_frame(std::span<const std::byte> block, std::size_t of) {
  constexpr std::array kMagic = {std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f},
                                 std::byte{0xfd}};
  return block.size() > kMagic.size() && std::ranges::equal(block.first(kMagic.size()), kMagic) &&
         ZSTD_getFrameContentSize(block.data(), block.size()) == of &&
         ZSTD_findFrameCompressedSize(block.data(), block.size()) == block.size();
}

}  // namespace

void PageCodec::FreeZstd::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }
void PageCodec::FreeZstd::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

std::size_t PageCodec::room_for(std::size_t bytes) {
  return std::max(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(bytes))),
                  ZSTD_compressBound(bytes));
}

std::size_t PageCodec::pack(std::span<const std::byte> pages, std::span<std::byte> into,
                            int acceleration) {
  state_.resize(static_cast<std::size_t>(LZ4_sizeofState()));
  return static_cast<std::size_t>(LZ4_compress_fast_extState(
      state_.data(), reinterpret_cast<const char*>(pages.data()),
      reinterpret_cast<char*>(into.data()), static_cast<int>(pages.size()),
      static_cast<int>(into.size()), acceleration));
}

std::size_t PageCodec::pack_zstd(std::span<const std::byte> pages, std::span<std::byte> into) {
  if (!packs_) packs_.reset(ZSTD_createCCtx());
  if (!packs_) throw std::bad_alloc();
  const std::size_t size = ZSTD_compressCCtx(packs_.get(), into.data(), into.size(), pages.data(),
                                             pages.size(), kZstdLevel);
  if (ZSTD_isError(size)) throw std::bad_alloc();  // there is room, so what it lacks is memory
  return size;
}

void PageCodec::unpack(std::span<const std::byte> block, std::span<std::byte> into) {
  const int got = LZ4_decompress_safe(
      reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(into.data()),
      static_cast<int>(block.size()), static_cast<int>(into.size()));
  check(got, into.size());
}

void PageCodec::unpack(BlockFormat format, std::span<const std::byte> block,
                       std::span<std::byte> into) {
  if (format == BlockFormat::lz4) return unpack(block, into);
  if (!unpacks_) unpacks_.reset(ZSTD_createDCtx());
  if (!unpacks_) throw std::bad_alloc();
  if (!is_one_frame(block, into.size()) ||
      ZSTD_decompressDCtx(unpacks_.get(), into.data(), into.size(), block.data(), block.size()) !=
          into.size()) {
    throw wire::ProtocolError("the peer sent a damaged Zstandard frame");
  }
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
