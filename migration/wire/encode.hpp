#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "migration/base/copy.hpp"
#include "migration/base/page_hash.hpp"
#include "migration/base/token.hpp"
#include "migration/wire/format.hpp"
#include "vmm/machine/machine_state.hpp"
#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

/// The writer of the wire format: values to bytes, no sockets. std::length_error for a value that
/// the format has no room for.
namespace migration::wire {

using Bytes = std::vector<std::byte>;

[[nodiscard]] Bytes encode_preamble(Role role);

/// Appends header and ranges of a page frame; `data_bytes` of page data follow by the caller.
void put_page_header(Bytes& out, FrameType type, std::span<const vmm::PageRange> ranges,
                     std::size_t data_bytes);
/// Appends one page of a `pages_delta` frame: the digest of what it becomes, and its block.
void put_delta(Bytes& out, std::uint64_t digest, std::span<const std::byte> block);
/// Appends one page of a `pages_same` frame: which page it is like, and the digest of both.
void put_same(Bytes& out, vmm::PageIndex as, std::uint64_t digest);
/// Appends a whole frame without ranges.
void put_frame(Bytes& out, FrameType type, std::span<const std::byte> payload);

[[nodiscard]] Bytes encode_channel(const Token& token, std::uint32_t index);
[[nodiscard]] Bytes encode_round(std::uint32_t round);
/// How long ago the guest's clocks were saved.
[[nodiscard]] Bytes encode_commit(std::chrono::nanoseconds since_save);
[[nodiscard]] Bytes encode_state(const vmm::MachineState& state);
[[nodiscard]] Bytes encode_digests(vmm::PageRange range, std::span<const std::uint64_t> digests);
/// The least piece that encode_missing takes, and that has all of `range` in it.
[[nodiscard]] constexpr vmm::PageRange bitmap_piece_around(vmm::PageRange range) {
  const vmm::PageIndex first = range.first / 64 * 64;
  return {first, range.end() - first};
}
/// Pages of `range` that are set in `missing`; `range` starts at a multiple of 64 pages. For
/// `missing`, `held` and `dropped` frames.
[[nodiscard]] Bytes encode_missing(vmm::PageRange range, const vmm::PageSet& missing);
/// The same where `missing` are the pages that are set, all within `range`.
[[nodiscard]] Bytes encode_missing(vmm::PageRange range, std::span<const vmm::PageRange> missing);
/// The ranges for as many such frames as it takes to tell all pages that are set.
[[nodiscard]] std::vector<vmm::PageRange> bitmap_pieces(const vmm::PageSet& pages);
/// `range` in pieces that one range of a frame can name.
[[nodiscard]] std::vector<vmm::PageRange> range_pieces(vmm::PageRange range);
/// All pages of `range`.
[[nodiscard]] Bytes encode_all_missing(vmm::PageRange range);
/// Pages and their hashes, as one frame tells them: at least one and at most kMaxHashPages, of a
/// stretch that one bitmap frame can answer.
struct Hashes {
  std::vector<vmm::PageRange> ranges;  ///< ascending
  std::vector<PageHash> hashes;        ///< one a page of the ranges, in order

  /// From the first page to the last.
  [[nodiscard]] vmm::PageRange stretch() const {
    return {ranges.front().first, ranges.back().end() - ranges.front().first};
  }
};
/// The frames for `pages`, of which `hashes` has one each, in order.
[[nodiscard]] std::vector<Hashes> hashes_of(const vmm::PageSet& pages,
                                            std::span<const PageHash> hashes);
[[nodiscard]] Bytes encode_hashes(const Hashes& frame);
/// At most kMaxCopies; none says that there are no more.
[[nodiscard]] Bytes encode_copies(std::span<const Copy> copies);
/// Appends a whole `request` frame.
void put_request(Bytes& out, vmm::PageIndex page, bool compressed);
/// Appends header and fixed fields of a `page` or `early` frame; `data_bytes` of data follow by the
/// caller.
void put_single_page(Bytes& out, FrameType type, vmm::PageIndex page, PageEncoding encoding,
                     std::uint64_t digest, std::size_t data_bytes);

}  // namespace migration::wire
