#include "migration/wire/encode.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "vmm/bytes/byte_writer.hpp"

namespace migration::wire {

using vmm::ByteWriter;

namespace {

/// What does not fit the format is never sent cut off.
void require(bool fits) {
  if (!fits) throw std::length_error("a frame would be out of the bounds of its format");
}

std::uint32_t to_u32(std::uint64_t value) {
  require(value <= std::numeric_limits<std::uint32_t>::max());
  return static_cast<std::uint32_t>(value);
}

std::uint16_t to_u16(std::uint64_t value) {
  require(value <= std::numeric_limits<std::uint16_t>::max());
  return static_cast<std::uint16_t>(value);
}

void put_header(Bytes& out, FrameType type, std::size_t ranges, std::size_t payload) {
  ByteWriter writer(out);
  writer.u8(static_cast<std::uint8_t>(type));
  writer.u8(0);
  writer.u16(to_u16(ranges));
  writer.u32(to_u32(payload));
}

void put_range(ByteWriter& writer, vmm::PageRange range) {
  writer.u32(to_u32(range.first));
  writer.u32(to_u32(range.count));
}

}  // namespace

Bytes encode_preamble(Role role) {
  Bytes out;
  ByteWriter writer(out);
  writer.text({kMagic.data(), kMagic.size()});
  writer.u32(kVersion);
  writer.u32(static_cast<std::uint32_t>(role));
  return out;
}

void put_page_header(Bytes& out, FrameType type, std::span<const vmm::PageRange> ranges,
                     std::size_t data_bytes) {
  require(!ranges.empty() && ranges.size() <= kMaxRanges);
  put_header(out, type, ranges.size(), ranges.size() * kRangeBytes + data_bytes);
  ByteWriter writer(out);
  for (const vmm::PageRange& range : ranges) put_range(writer, range);
}

void put_delta(Bytes& out, std::uint64_t digest, std::span<const std::byte> block) {
  require(!block.empty() && block.size() <= vmm::kPageSize);
  ByteWriter writer(out);
  writer.u64(digest);
  writer.u16(to_u16(block.size()));
  writer.bytes(block);
}

void put_same(Bytes& out, vmm::PageIndex as, std::uint64_t digest) {
  ByteWriter writer(out);
  writer.u32(to_u32(as));
  writer.u64(digest);
}

void put_frame(Bytes& out, FrameType type, std::span<const std::byte> payload) {
  put_header(out, type, 0, payload.size());
  ByteWriter(out).bytes(payload);
}

Bytes encode_channel(const Token& token, std::uint32_t index) {
  Bytes out;
  ByteWriter writer(out);
  writer.bytes(token);
  writer.u32(index);
  return out;
}

Bytes encode_round(std::uint32_t round) {
  Bytes out;
  ByteWriter(out).u32(round);
  return out;
}

Bytes encode_commit(std::chrono::nanoseconds since_save) {
  Bytes out;
  ByteWriter(out).u64(static_cast<std::uint64_t>(
      std::clamp(since_save, std::chrono::nanoseconds::zero(), kLongestStop).count()));
  return out;
}

Bytes encode_state(const vmm::MachineState& state) {
  constexpr std::size_t kCount = 4;
  constexpr std::size_t kSizesAndVersion = 10;
  std::size_t bytes = kCount;
  for (const vmm::StateSection& section : state.sections) {
    bytes += kSizesAndVersion + section.id.size() + section.data.size();
  }
  Bytes out;
  out.reserve(bytes);
  ByteWriter writer(out);
  writer.u32(to_u32(state.sections.size()));
  for (const vmm::StateSection& section : state.sections) {
    writer.u16(to_u16(section.id.size()));
    writer.text(section.id);
    writer.u32(section.version);
    writer.u32(to_u32(section.data.size()));
    writer.bytes(section.data);
  }
  return out;
}

Bytes encode_digests(vmm::PageRange range, std::span<const std::uint64_t> digests) {
  require(range.count == digests.size() && range.count <= kMaxDigestPages);
  Bytes out;
  ByteWriter writer(out);
  put_range(writer, range);
  for (const std::uint64_t digest : digests) writer.u64(digest);
  return out;
}

Bytes encode_missing(vmm::PageRange range, const vmm::PageSet& missing) {
  require(range.first % 64 == 0 && range.end() <= missing.pages() &&
          range.count <= kMaxMissingPages);
  Bytes out;
  ByteWriter writer(out);
  put_range(writer, range);
  for (vmm::PageIndex page = range.first; page < range.end(); page += 64) {
    const std::uint64_t here = range.end() - page;
    const std::uint64_t bits = missing.word(page / 64);
    writer.u64(here >= 64 ? bits : bits & ((std::uint64_t{1} << here) - 1));
  }
  return out;
}

Bytes encode_missing(vmm::PageRange range, std::span<const vmm::PageRange> missing) {
  require(range.count <= kMaxMissingPages);
  std::vector<std::uint64_t> words((range.count + 63) / 64);
  for (const vmm::PageRange& run : missing) {
    require(run.first >= range.first && run.end() <= range.end());
    for (vmm::PageIndex page = run.first - range.first; page < run.end() - range.first; ++page) {
      words[page / 64] |= std::uint64_t{1} << (page % 64);
    }
  }
  Bytes out;
  ByteWriter writer(out);
  put_range(writer, range);
  for (const std::uint64_t word : words) writer.u64(word);
  return out;
}

std::vector<vmm::PageRange> range_pieces(vmm::PageRange range) {
  std::vector<vmm::PageRange> pieces;
  while (range.count > 0) {
    pieces.push_back({range.first, std::min(range.count, kMaxRangePages)});
    range = {pieces.back().end(), range.count - pieces.back().count};
  }
  return pieces;
}

std::vector<vmm::PageRange> bitmap_pieces(const vmm::PageSet& pages) {
  std::vector<vmm::PageRange> pieces;
  for (vmm::PageIndex first = 0; first < pages.pages(); first += kMaxMissingPages) {
    const vmm::PageRange piece{first,
                               std::min<std::uint64_t>(kMaxMissingPages, pages.pages() - first)};
    if (pages.next_range(piece.first, piece.end())) pieces.push_back(piece);
  }
  return pieces;
}

Bytes encode_all_missing(vmm::PageRange range) {
  Bytes out;
  ByteWriter writer(out);
  put_range(writer, range);
  return out;
}

std::vector<Hashes> hashes_of(const vmm::PageSet& pages, std::span<const PageHash> hashes) {
  std::vector<Hashes> frames;
  for (vmm::PageRange range : pages.ranges()) {
    while (range.count > 0) {
      if (frames.empty() || frames.back().hashes.size() == kMaxHashPages ||
          range.first - frames.back().ranges.front().first >= kMaxHashStretch - kMaxHashPages) {
        frames.emplace_back();
      }
      Hashes& frame = frames.back();
      const std::uint64_t count =
          std::min<std::uint64_t>(range.count, kMaxHashPages - frame.hashes.size());
      frame.ranges.push_back({range.first, count});
      const auto taken = hashes.first(count);
      frame.hashes.insert(frame.hashes.end(), taken.begin(), taken.end());
      hashes = hashes.subspan(count);
      range = {range.first + count, range.count - count};
    }
  }
  return frames;
}

Bytes encode_hashes(const Hashes& frame) {
  require(!frame.ranges.empty() && frame.hashes.size() <= kMaxHashPages);
  Bytes out;
  out.reserve(frame.ranges.size() * kRangeBytes + frame.hashes.size() * sizeof(PageHash));
  ByteWriter writer(out);
  std::span<const PageHash> rest = frame.hashes;
  for (const vmm::PageRange& range : frame.ranges) {
    put_range(writer, range);
    writer.bytes(std::as_bytes(rest.first(range.count)));
    rest = rest.subspan(range.count);
  }
  return out;
}

Bytes encode_copies(std::span<const Copy> copies) {
  require(copies.size() <= kMaxCopies);
  Bytes out;
  ByteWriter writer(out);
  for (const Copy& copy : copies) {
    writer.u32(to_u32(copy.to));
    writer.u32(to_u32(copy.from));
    writer.u32(to_u32(copy.count));
  }
  return out;
}

void put_request(Bytes& out, vmm::PageIndex page, bool compressed) {
  put_header(out, FrameType::request, 0, 8);
  ByteWriter writer(out);
  writer.u32(to_u32(page));
  writer.u32(compressed ? 1 : 0);
}

void put_single_page(Bytes& out, FrameType type, vmm::PageIndex page, PageEncoding encoding,
                     std::uint64_t digest, std::size_t data_bytes) {
  put_header(out, type, 0, 16 + data_bytes);
  ByteWriter writer(out);
  writer.u32(to_u32(page));
  writer.u32(static_cast<std::uint32_t>(encoding));
  writer.u64(digest);
}

}  // namespace migration::wire
