#include "guest/workload/block_request.hpp"

#include "guest/io/console.hpp"

namespace guest {
namespace {

constexpr std::uint32_t kSector = 512;
constexpr std::uint32_t kSectorsPerBlock = kDiskBlock / kSector;
constexpr std::uint32_t kSentBytes = 16;
constexpr std::uint8_t kDone = 0;
constexpr std::uint8_t kUnanswered = 0xff;

}  // namespace

void BlockRequest::post(Virtio& disk, std::uint32_t slot, Kind what, std::uint64_t offset,
                        VirtioPiece data) {
  kind = what;
  reserved = 0;
  sector = offset / kSector;
  status = kUnanswered;
  const auto address = reinterpret_cast<std::uint64_t>(this);
  const VirtioPiece first{address, kSentBytes, false};
  const VirtioPiece last{address + kSentBytes, 1, true};
  if (what == Kind::flush) {
    disk.post(slot, {first, last});
  } else {
    disk.post(slot, {first, data, last});
  }
}

void BlockRequest::check_done() const {
  if (const std::uint8_t got = status; got != kDone) {
    fail(ExitCode::disk_error, Line() << "disk status=" << std::uint64_t{got}
                                      << " kind=" << static_cast<std::uint64_t>(kind)
                                      << " block=" << sector / kSectorsPerBlock);
  }
}

void check_disk_size(const Virtio& disk, std::uint64_t blocks) {
  const std::uint64_t sectors = disk.config(0) | std::uint64_t{disk.config(4)} << 32;
  if (sectors / kSectorsPerBlock >= blocks) return;
  fail(ExitCode::bad_options, Line() << "option disk=" << blocks << " exceeds its "
                                     << sectors / kSectorsPerBlock << " blocks");
}

}  // namespace guest
