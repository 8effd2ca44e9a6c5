#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "vmm/memory/guest_address.hpp"

/// The constants of the wire format. docs/protocol.md is the same in prose, with worked bytes.
/// All numbers are little-endian.
namespace migration::wire {

/// What a peer sent is not what the protocol allows.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline constexpr std::uint32_t kVersion = 2;

// Every connection starts with a preamble from the side that dialled: magic, version, role. The
// side that listens answers on `control`, `inquiry` and `probe` connections with the same magic and
// its version.
inline constexpr std::array<char, 8> kMagic = {'F', 'E', 'R', 'R', 'Y', '\r', '\n', '\x1a'};
enum class Role : std::uint32_t { control = 1, pages = 2, inquiry = 3, faults = 4, probe = 5 };
inline constexpr std::size_t kPreambleBytes = 16;  ///< magic, u32 version, u32 role

/// u8 type, u8 zero, u16 range count (page frames only, else 0), u32 payload bytes
inline constexpr std::size_t kHeaderBytes = 8;

enum class FrameType : std::uint8_t {
  // page connections, source to destination
  channel = 1,      ///< token (16 bytes), u32 channel index; on a fault connection too
  pages_raw = 2,    ///< ranges, then the pages
  pages_lz4 = 3,    ///< ranges, then one LZ4 block of the pages
  pages_zero = 4,   ///< ranges
  round_end = 5,    ///< u32 round
  pages_delta = 6,  ///< ranges, then for each page u64 XXH3, u16 bytes, and its difference
  pages_same = 7,   ///< ranges, then for each page u32 the page that it is like, u64 XXH3
  pages_alike = 8,  ///< ranges, then what all of them hold: a page, or the word that it repeats
  pages_zstd = 9,   ///< ranges, then one Zstandard frame of the pages
  // control connections
  alive = 16,       ///< either way, empty: shows that the sender's control loop runs
  offer = 17,       ///< to destination, JSON
  accept = 18,      ///< to source, JSON
  refused = 19,     ///< to source, JSON: final
  landed = 20,      ///< to source, u32 round: every page of it is in place
  state = 21,       ///< to destination: machine state sections
  last_round = 22,  ///< to destination, u32 round: the one after which there is no more
  digests = 23,     ///< to destination, only with verify: one range, then u64 XXH3 of each page
  prepared = 24,    ///< to source, JSON
  commit = 25,      ///< to destination, u64 ns: since the guest's clocks were saved
  running = 26,     ///< to source, JSON
  abort = 27,       ///< to destination, JSON: the VM stays at the source
  missing = 28,     ///< either way: pages that are not at the destination
  post_copy = 29,   ///< to destination, u32 round: as last_round, but pages are still missing
  ended = 30,       ///< to source, JSON: the guest has ended while pages were missing
  report = 31,      ///< to destination, JSON: how the migration was, last of all
  // inquiry connections
  inquire = 32,  ///< to destination, JSON
  status = 33,   ///< to source, JSON
  // control connections, memory reuse
  held = 34,     ///< to source, as missing: pages of its kept image that the destination holds
  hashes = 35,   ///< either way: ranges of held pages, after each 16 bytes for each of its pages
  copies = 36,   ///< to destination: pages to copy within its RAM, in order
  changed = 37,  ///< to source, as hashes: pages that the guest may have changed since it arrived
  dropped = 38,  ///< to destination, as missing: those of them that the source has given up
  // control connections: the last words of a handover
  released = 39,      ///< to destination, empty: the source knows that the VM is there
  acknowledged = 43,  ///< to source, empty: `released` has been read
  // fault connections
  request = 40,  ///< to source: u32 page, u32 flags
  page = 41,     ///< to destination: u32 page, u32 encoding, u64 digest, the page
  early = 42,    ///< the same of a page that was not asked for
  // probe connections
  probe = 44,   ///< to destination: bytes that mean nothing
  probed = 45,  ///< to source, empty: one `probe` has been read
};

/// One entry of a range list: u32 first page, u32 page count.
inline constexpr std::size_t kRangeBytes = 8;
inline constexpr std::size_t kMaxRanges = 1024;
/// A count of 2^32 would be 0: RAM of 16 TiB takes two ranges.
inline constexpr std::uint64_t kMaxRangePages = std::uint64_t{1} << 31;
/// Most pages that one raw frame carries, and one LZ4 block. 64 KiB blocks stay in the L2 cache
/// and match the window of LZ4.
inline constexpr std::size_t kMaxRawPages = 512;
inline constexpr std::size_t kMaxLz4Pages = 16;
/// Pages of one frame of duplicates, and what each of `pages_same` has.
inline constexpr std::size_t kMaxSamePages = 512;
inline constexpr std::size_t kSameBytes = 12;
inline constexpr std::size_t kMaxAlikePages = 512;
/// A page that is this word again and again.
inline constexpr std::size_t kWordBytes = 8;
/// Pages of one delta frame, and what each has before its block, which is no larger than a page.
inline constexpr std::size_t kMaxDeltaPages = 512;
inline constexpr std::size_t kDeltaHeadBytes = 10;
inline constexpr std::size_t kMaxDigestPages = 16384;
/// Pages that the bitmap of one `missing`, `held` or `dropped` frame tells about.
inline constexpr std::size_t kMaxMissingPages = std::size_t{1} << 20;
/// Pages that one `hashes` or `changed` frame tells about, and from the first to the last of them:
/// the answer is one bitmap, which begins at a multiple of 64 pages.
inline constexpr std::size_t kMaxHashPages = 16384;
inline constexpr std::size_t kMaxHashStretch = kMaxMissingPages - 64;
/// One entry of a `copies` frame: u32 to, u32 from, u32 page count.
inline constexpr std::size_t kCopyBytes = 12;
inline constexpr std::size_t kMaxCopies = 16384;
/// What a page frame has more for each page when pages are verified one by one: u64 XXH3.
inline constexpr std::size_t kDigestBytes = 8;

/// The most bytes of an `offer`, which has the machine's configuration, of a message with a text
/// for people, and of one of numbers and names.
inline constexpr std::size_t kMaxOfferBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxTextBytes = std::size_t{64} << 10;
inline constexpr std::size_t kMaxMessageBytes = std::size_t{4} << 10;
inline constexpr std::size_t kMaxStateBytes = std::size_t{8} << 20;
inline constexpr std::size_t kMaxStateSections = 4096;

/// `missing` frames to the destination tell of no more pages together than so many times RAM has.
inline constexpr std::uint64_t kMaxTimesMissing = 4;

/// What one `probe` frame has at most, all those of a connection, and how long they may take.
inline constexpr std::size_t kMaxProbeFrame = std::size_t{64} << 10;
inline constexpr std::uint64_t kMaxProbeBytes = std::uint64_t{64} << 20;
inline constexpr std::chrono::seconds kMaxProbeTime{2};

/// Since a guest's clocks were saved: longer counts as this. To refuse a `commit` would leave the
/// VM in doubt.
inline constexpr std::chrono::nanoseconds kLongestStop = std::chrono::hours(365 * 24);

enum class Side { source, destination };

/// How the page of a `page` frame travels.
enum class PageEncoding : std::uint32_t { zero = 0, raw = 1, lz4 = 2 };

}  // namespace migration::wire
