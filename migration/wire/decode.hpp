#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "migration/base/copy.hpp"
#include "migration/base/token.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/format.hpp"
#include "vmm/machine/machine_state.hpp"
#include "vmm/memory/guest_address.hpp"

/// The reader of the wire format: bytes to values, no sockets. Everything here is given bytes from
/// a peer that may be hostile; whatever is unsound throws ProtocolError, and no number of the
/// peer's is used before it is bounded.
namespace migration::wire {

struct Preamble {
  std::uint32_t version = 0;
  Role role = Role::control;
};
/// Throws when the magic is not Ferry's, the version another one, or the role unknown.
[[nodiscard]] Preamble decode_preamble(std::span<const std::byte, kPreambleBytes> bytes);

struct FrameHeader {
  FrameType type{};
  std::uint16_t ranges = 0;
  std::uint32_t payload = 0;  ///< bytes that follow, at most what the type allows
};
[[nodiscard]] FrameHeader decode_header(std::span<const std::byte, kHeaderBytes> bytes);
/// Of a control or inquiry connection: throws when frames of this type do not go to `reader`, or
/// not on such a connection.
void check_direction(const FrameHeader& header, Side reader);

/// A list of page ranges, checked: none empty, all inside RAM of `ram_pages` pages, no more than
/// `max_pages` pages in all.
[[nodiscard]] std::vector<vmm::PageRange> decode_ranges(std::span<const std::byte> bytes,
                                                        std::uint64_t ram_pages,
                                                        std::uint64_t max_pages);

/// What a page of a `pages_delta` frame has before its block.
struct DeltaHead {
  std::uint64_t digest = 0;  ///< of the page that it becomes
  std::size_t bytes = 0;     ///< of the block: at least 1, at most a page
};
[[nodiscard]] DeltaHead decode_delta_head(std::span<const std::byte, kDeltaHeadBytes> bytes);

/// What a page of a `pages_same` frame has.
struct SamePage {
  vmm::PageIndex as = 0;     ///< within RAM
  std::uint64_t digest = 0;  ///< of both
};
[[nodiscard]] SamePage decode_same(std::span<const std::byte, kSameBytes> bytes,
                                   std::uint64_t ram_pages);

struct Channel {
  Token token{};
  std::uint32_t index = 0;
};
[[nodiscard]] Channel decode_channel(std::span<const std::byte> payload);
[[nodiscard]] std::uint32_t decode_round(std::span<const std::byte> payload);
/// At most kLongestStop.
[[nodiscard]] std::chrono::nanoseconds decode_commit(std::span<const std::byte> payload);
[[nodiscard]] vmm::MachineState decode_state(std::span<const std::byte> payload);

struct Digests {
  vmm::PageRange range;
  std::vector<std::uint64_t> digests;  ///< one a page of the range
};
[[nodiscard]] Digests decode_digests(std::span<const std::byte> payload, std::uint64_t ram_pages);

/// Of a `missing`, `held` or `dropped` frame.
struct Missing {
  vmm::PageRange range;               ///< that the frame tells about
  std::vector<vmm::PageRange> pages;  ///< missing (held, dropped): maximal runs, ascending
};
[[nodiscard]] Missing decode_missing(std::span<const std::byte> payload, std::uint64_t ram_pages);

[[nodiscard]] Hashes decode_hashes(std::span<const std::byte> payload, std::uint64_t ram_pages);
/// Each inside RAM and not onto itself, and of no more pages in all than RAM has: as no page is
/// copied to twice, more would be a peer that keeps this side busy.
[[nodiscard]] std::vector<Copy> decode_copies(std::span<const std::byte> payload,
                                              std::uint64_t ram_pages);

struct PageRequest {
  vmm::PageIndex page = 0;
  bool compressed = false;  ///< the destination would rather have it compressed
};
[[nodiscard]] PageRequest decode_request(std::span<const std::byte> payload,
                                         std::uint64_t ram_pages);

/// `data` is of the payload that it was decoded from.
struct SinglePage {
  vmm::PageIndex page = 0;
  PageEncoding encoding = PageEncoding::zero;
  std::uint64_t digest = 0;
  std::span<const std::byte> data;
};
[[nodiscard]] SinglePage decode_page(std::span<const std::byte> payload, std::uint64_t ram_pages);

}  // namespace migration::wire
