#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace migration {

/// Pages as LZ4 blocks (docs/protocol.md, "Frames on page connections"). One thread's.
class PageCodec {
 public:
  /// Bytes that the block of so many bytes of pages has at most.
  [[nodiscard]] static std::size_t room_for(std::size_t bytes);

  /// Packs pages, which nobody writes meanwhile: LZ4 reads them more than once. `into` has
  /// room_for() them. `acceleration`: LZ4's, from 1 on; faster and larger. The size of the block.
  std::size_t pack(std::span<const std::byte> pages, std::span<std::byte> into, int acceleration);
  /// wire::ProtocolError for a block that is not `into.size()` bytes of pages. Then anything may be
  /// in `into`.
  static void unpack(std::span<const std::byte> block, std::span<std::byte> into);

  /// Packs one page as its difference from `base`, another version of it: a block that refers to
  /// the base as if that came just before. The size of the block; 0 if it does not fit `into`.
  std::size_t pack_delta(std::span<const std::byte> page, std::span<const std::byte> base,
                         std::span<std::byte> into);
  /// `into` is not the base. wire::ProtocolError as with unpack().
  static void unpack_delta(std::span<const std::byte> block, std::span<const std::byte> base,
                           std::span<std::byte> into);

 private:
  std::vector<std::byte> state_;
};

}  // namespace migration
