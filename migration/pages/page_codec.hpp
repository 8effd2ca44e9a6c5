#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "migration/policy/compression_policy.hpp"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace migration {

/// Pages as LZ4 blocks and Zstandard frames (docs/protocol.md, "Frames on page connections"). One
/// thread's.
class PageCodec {
 public:
  /// Bytes that the block of so many bytes of pages has at most, in either format.
  [[nodiscard]] static std::size_t room_for(std::size_t bytes);

  /// Packs pages, which nobody writes meanwhile: LZ4 reads them more than once. `into` has
  /// room_for() them. `acceleration`: LZ4's, from 1 on; faster and larger. The size of the block.
  std::size_t pack(std::span<const std::byte> pages, std::span<std::byte> into, int acceleration);
  /// The same by Zstandard, which takes longer and shrinks them more.
  std::size_t pack_zstd(std::span<const std::byte> pages, std::span<std::byte> into);
  /// wire::ProtocolError for a block that is not `into.size()` bytes of pages. Then anything may be
  /// in `into`.
  static void unpack(std::span<const std::byte> block, std::span<std::byte> into);
  void unpack(BlockFormat format, std::span<const std::byte> block, std::span<std::byte> into);

  /// Packs one page as its difference from `base`, another version of it: a block that refers to
  /// the base as if that came just before. The size of the block; 0 if it does not fit `into`.
  std::size_t pack_delta(std::span<const std::byte> page, std::span<const std::byte> base,
                         std::span<std::byte> into);
  /// `into` is not the base. wire::ProtocolError as with unpack().
  static void unpack_delta(std::span<const std::byte> block, std::span<const std::byte> base,
                           std::span<std::byte> into);

 private:
  struct FreeZstd {
    void operator()(ZSTD_CCtx_s* context) const;
    void operator()(ZSTD_DCtx_s* context) const;
  };
  /// Made where they are first needed.
  std::vector<std::byte> state_;  ///< LZ4's
  std::unique_ptr<ZSTD_CCtx_s, FreeZstd> packs_;
  std::unique_ptr<ZSTD_DCtx_s, FreeZstd> unpacks_;
};

}  // namespace migration
