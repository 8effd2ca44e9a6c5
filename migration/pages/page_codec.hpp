#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace migration {

/// Pages as an LZ4 block (docs/protocol.md, "Frames on page connections"). One thread's.
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

 private:
  std::vector<std::byte> state_;
};

}  // namespace migration
