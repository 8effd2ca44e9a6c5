#pragma once

#include <cstdint>

#include "guest/io/virtio.hpp"

namespace guest {

inline constexpr std::uint16_t kBlockDevice = 0x1042;
inline constexpr std::uint32_t kDiskBlock = 4096;

/// What a request to a virtio disk begins and ends with (virtio 1.2, section 5.2.6).
struct BlockRequest {
  enum class Kind : std::uint32_t { read = 0, write = 1, flush = 4 };

  Kind kind;
  std::uint32_t reserved;
  std::uint64_t sector;
  volatile std::uint8_t status;

  /// Hands it to the disk, in a slot that is not busy, with `data` but for a flush.
  void post(Virtio& disk, std::uint32_t slot, Kind what, std::uint64_t offset, VirtioPiece data);
  /// Fails the machine where the disk has failed it.
  void check_done() const;
};

/// Fails the machine where the disk has fewer blocks.
void check_disk_size(const Virtio& disk, std::uint64_t blocks);

}  // namespace guest
