#include "migration/wire/decode.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/copy_bytes.hpp"

namespace migration::wire {

namespace {

using Reader = vmm::ByteReader<ProtocolError>;

/// The most payload that a frame of this type may have; 0 for a type that there is not.
std::size_t payload_limit(FrameType type) {
  constexpr std::size_t kList = kMaxRanges * kRangeBytes;
  switch (type) {
    case FrameType::pages_raw: return kList + kMaxRawPages * (vmm::kPageSize + kDigestBytes);
    case FrameType::pages_lz4:
    case FrameType::pages_zstd: return kList + kMaxLz4Pages * (vmm::kPageSize + kDigestBytes);
    case FrameType::pages_zero: return kList;
    case FrameType::pages_delta: return kList + kMaxDeltaPages * (kDeltaHeadBytes + vmm::kPageSize);
    case FrameType::pages_same: return kList + kMaxSamePages * kSameBytes;
    case FrameType::pages_alike: return kList + kDigestBytes + vmm::kPageSize;
    case FrameType::channel: return sizeof(Token) + 4;
    case FrameType::round_end:
    case FrameType::landed:
    case FrameType::last_round:
    case FrameType::post_copy: return 4;
    case FrameType::missing:
    case FrameType::held:
    case FrameType::dropped: return kRangeBytes + kMaxMissingPages / 8;
    case FrameType::changed:
    case FrameType::hashes: return kMaxHashPages * (kRangeBytes + sizeof(PageHash));
    case FrameType::copies: return kMaxCopies * kCopyBytes;
    case FrameType::request:
    case FrameType::commit: return 8;
    case FrameType::page:
    case FrameType::early: return 16 + vmm::kPageSize;
    case FrameType::state: return kMaxStateBytes;
    case FrameType::digests: return kRangeBytes + kMaxDigestPages * 8;
    case FrameType::offer: return kMaxOfferBytes;
    case FrameType::accept:
    case FrameType::refused:
    case FrameType::abort:
    case FrameType::ended:
    case FrameType::report: return kMaxTextBytes;
    case FrameType::prepared:
    case FrameType::running:
    case FrameType::inquire:
    case FrameType::status: return kMaxMessageBytes;
    case FrameType::probe: return kMaxProbeFrame;
    case FrameType::alive:
    case FrameType::released:
    case FrameType::probed:
    case FrameType::acknowledged: break;
  }
  return 0;
}

bool known(std::uint8_t type) {
  const auto in = [type](FrameType first, FrameType last) {
    return type >= static_cast<std::uint8_t>(first) && type <= static_cast<std::uint8_t>(last);
  };
  return in(FrameType::channel, FrameType::pages_zstd) || in(FrameType::alive, FrameType::report) ||
         in(FrameType::inquire, FrameType::released) || in(FrameType::request, FrameType::probed);
}

/// Whether frames of this type go to that side on a control or inquiry connection.
bool goes_to(Side reader, FrameType type) {
  switch (type) {
    case FrameType::alive:
    case FrameType::missing:
    case FrameType::hashes: return true;
    case FrameType::offer:
    case FrameType::state:
    case FrameType::last_round:
    case FrameType::digests:
    case FrameType::commit:
    case FrameType::released:
    case FrameType::abort:
    case FrameType::post_copy:
    case FrameType::report:
    case FrameType::inquire:
    case FrameType::copies:
    case FrameType::probe:
    case FrameType::dropped: return reader == Side::destination;
    case FrameType::accept:
    case FrameType::refused:
    case FrameType::landed:
    case FrameType::prepared:
    case FrameType::running:
    case FrameType::ended:
    case FrameType::acknowledged:
    case FrameType::status:
    case FrameType::held:
    case FrameType::probed:
    case FrameType::changed: return reader == Side::source;
    default: return false;
  }
}

bool has_ranges(FrameType type) {
  return type >= FrameType::pages_raw && type <= FrameType::pages_zstd &&
         type != FrameType::round_end;
}

vmm::PageRange read_range(Reader& reader, std::uint64_t ram_pages) {
  const vmm::PageRange range{reader.u32(), reader.u32()};
  if (range.count == 0 || range.first >= ram_pages || range.count > ram_pages - range.first) {
    throw ProtocolError(fmt::format("the peer names pages {}+{}, but RAM has {} pages", range.first,
                                    range.count, ram_pages));
  }
  return range;
}

}  // namespace

Preamble decode_preamble(std::span<const std::byte, kPreambleBytes> bytes) {
  const auto magic = std::as_bytes(std::span(kMagic));
  if (!std::ranges::equal(bytes.first(magic.size()), magic)) {
    throw ProtocolError("the peer is not Ferry (no Ferry preamble)");
  }
  Reader reader(bytes.subspan(magic.size()), "preamble from the peer");
  const Preamble preamble{reader.u32(), static_cast<Role>(reader.u32())};
  if (preamble.version != kVersion) {
    throw ProtocolError(fmt::format(
        "the peer speaks version {} of the migration protocol and this ferry version {}: use the "
        "same release on both sides",
        preamble.version, kVersion));
  }
  if (preamble.role < Role::control || preamble.role > Role::probe) {
    throw ProtocolError("the peer opened a connection of an unknown role");
  }
  return preamble;
}

FrameHeader decode_header(std::span<const std::byte, kHeaderBytes> bytes) {
  const auto type = std::to_integer<std::uint8_t>(bytes[0]);
  Reader reader(bytes.subspan(2), "frame header from the peer");
  const FrameHeader header{static_cast<FrameType>(type), reader.u16(), reader.u32()};
  if (!known(type) || bytes[1] != std::byte{0}) {
    throw ProtocolError(fmt::format("the peer sent a frame of unknown type {}", type));
  }
  if (header.payload > payload_limit(header.type)) {
    throw ProtocolError(fmt::format(
        "the peer sent a frame of type {} with {} bytes, over its limit", type, header.payload));
  }
  const std::size_t list = header.ranges * kRangeBytes;
  const bool sound = has_ranges(header.type) ? header.ranges > 0 && header.ranges <= kMaxRanges &&
                                                   list <= header.payload
                                             : header.ranges == 0;
  if (!sound) throw ProtocolError(fmt::format("the peer sent an unsound frame of type {}", type));
  return header;
}

void check_direction(const FrameHeader& header, Side reader) {
  if (goes_to(reader, header.type)) return;
  throw ProtocolError(fmt::format("the peer sent a frame of type {} out of turn",
                                  static_cast<unsigned>(header.type)));
}

std::vector<vmm::PageRange> decode_ranges(std::span<const std::byte> bytes, std::uint64_t ram_pages,
                                          std::uint64_t max_pages) {
  Reader reader(bytes, "page list from the peer");
  std::vector<vmm::PageRange> ranges;
  ranges.reserve(bytes.size() / kRangeBytes);
  std::uint64_t pages = 0;
  for (std::size_t i = 0; i < bytes.size() / kRangeBytes; ++i) {
    ranges.push_back(read_range(reader, ram_pages));
    pages += ranges.back().count;
  }
  reader.finish();
  if (pages > max_pages) {
    throw ProtocolError(
        fmt::format("the peer sent {} pages in one frame, over the limit of {}", pages, max_pages));
  }
  return ranges;
}

DeltaHead decode_delta_head(std::span<const std::byte, kDeltaHeadBytes> bytes) {
  Reader reader(bytes, "difference of a page from the peer");
  const DeltaHead head{reader.u64(), reader.u16()};
  if (head.bytes == 0 || head.bytes > vmm::kPageSize) {
    throw ProtocolError("the peer sent an unsound difference of a page");
  }
  return head;
}

SamePage decode_same(std::span<const std::byte, kSameBytes> bytes, std::uint64_t ram_pages) {
  Reader reader(bytes, "duplicate from the peer");
  const SamePage same{reader.u32(), reader.u64()};
  if (same.as >= ram_pages) throw ProtocolError("the peer names a page that RAM does not have");
  return same;
}

Channel decode_channel(std::span<const std::byte> payload) {
  Reader reader(payload, "channel frame from the peer");
  Channel channel;
  reader.fill(channel.token);
  channel.index = reader.u32();
  reader.finish();
  return channel;
}

std::uint32_t decode_round(std::span<const std::byte> payload) {
  Reader reader(payload, "round frame from the peer");
  const std::uint32_t round = reader.u32();
  reader.finish();
  return round;
}

std::chrono::nanoseconds decode_commit(std::span<const std::byte> payload) {
  Reader reader(payload, "commit frame from the peer");
  const std::uint64_t since_save = reader.u64();
  reader.finish();
  constexpr auto kMost = static_cast<std::uint64_t>(kLongestStop.count());
  return std::chrono::nanoseconds(std::min(since_save, kMost));
}

vmm::MachineState decode_state(std::span<const std::byte> payload) {
  Reader reader(payload, "machine state from the peer");
  vmm::MachineState state;
  const std::uint32_t count = reader.u32();
  if (count > kMaxStateSections) {
    throw ProtocolError(fmt::format("the peer sent a machine state of {} sections", count));
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    vmm::StateSection section;
    section.id = reader.text(reader.u16());
    section.version = reader.u32();
    const auto data = reader.bytes(reader.u32());
    section.data.assign(data.begin(), data.end());
    state.sections.push_back(std::move(section));
  }
  reader.finish();
  return state;
}

Digests decode_digests(std::span<const std::byte> payload, std::uint64_t ram_pages) {
  Reader reader(payload, "digests from the peer");
  Digests result{read_range(reader, ram_pages), {}};
  if (result.range.count > kMaxDigestPages) throw ProtocolError("too many digests in one frame");
  for (std::uint64_t i = 0; i < result.range.count; ++i) result.digests.push_back(reader.u64());
  reader.finish();
  return result;
}

Missing decode_missing(std::span<const std::byte> payload, std::uint64_t ram_pages) {
  Reader reader(payload, "page bitmap from the peer");
  const vmm::PageRange range = read_range(reader, ram_pages);
  Missing result{range, {}};
  if (payload.size() == kRangeBytes) {
    result.pages.push_back(range);
    return result;
  }
  if (range.count > kMaxMissingPages) throw ProtocolError("too many pages in one page bitmap");
  for (vmm::PageIndex page = range.first; page < range.end(); page += 64) {
    const std::uint64_t here = std::min<std::uint64_t>(range.end() - page, 64);
    const std::uint64_t word = reader.u64();
    if (here < 64 && word >> here != 0) {
      throw ProtocolError("a page bitmap names pages beyond its end");
    }
    for (std::uint64_t i = 0; i < here; ++i) {
      if ((word >> i & 1) == 0) continue;
      if (!result.pages.empty() && result.pages.back().end() == page + i) {
        ++result.pages.back().count;
      } else {
        result.pages.push_back({page + i, 1});
      }
    }
  }
  reader.finish();
  return result;
}

Hashes decode_hashes(std::span<const std::byte> payload, std::uint64_t ram_pages) {
  Reader reader(payload, "hashes from the peer");
  Hashes result;
  do {
    const vmm::PageRange range = read_range(reader, ram_pages);
    if (!result.ranges.empty() && range.first < result.ranges.back().end()) {
      throw ProtocolError("the hashes are out of order");
    }
    result.ranges.push_back(range);
    if (range.count > kMaxHashPages - result.hashes.size() ||
        result.stretch().count > kMaxHashStretch) {
      throw ProtocolError("too many hashes in one frame");
    }
    const auto bytes = reader.bytes(range.count * sizeof(PageHash));
    result.hashes.resize(result.hashes.size() + range.count);
    vmm::copy_bytes(bytes, std::as_writable_bytes(std::span(result.hashes).last(range.count)));
  } while (reader.left() > 0);
  return result;
}

std::vector<Copy> decode_copies(std::span<const std::byte> payload, std::uint64_t ram_pages) {
  Reader reader(payload, "list of copies from the peer");
  std::vector<Copy> copies;
  std::uint64_t pages = 0;
  if (payload.size() > kMaxCopies * kCopyBytes) throw ProtocolError("too many copies in one frame");
  copies.reserve(payload.size() / kCopyBytes);
  for (std::size_t i = 0; i < payload.size() / kCopyBytes; ++i) {
    const Copy copy{reader.u32(), reader.u32(), reader.u32()};
    const auto [low, high] = std::minmax(copy.to, copy.from);
    if (copy.count == 0 || copy.count > high - low || high >= ram_pages ||
        copy.count > ram_pages - high) {
      throw ProtocolError(fmt::format("the peer wants {} pages copied from {} to {}, of {} in RAM",
                                      copy.count, copy.from, copy.to, ram_pages));
    }
    pages += copy.count;
    copies.push_back(copy);
  }
  reader.finish();
  if (pages > ram_pages) throw ProtocolError("the peer wants pages copied to more than once");
  return copies;
}

PageRequest decode_request(std::span<const std::byte> payload, std::uint64_t ram_pages) {
  Reader reader(payload, "page request from the peer");
  const std::uint32_t page = reader.u32();
  const std::uint32_t flags = reader.u32();
  reader.finish();
  if (page >= ram_pages || flags > 1) throw ProtocolError("the peer sent an unsound page request");
  return {page, flags == 1};
}

SinglePage decode_page(std::span<const std::byte> payload, std::uint64_t ram_pages) {
  Reader reader(payload, "page from the peer");
  const std::uint32_t page = reader.u32();
  const std::uint32_t encoding = reader.u32();
  const std::uint64_t digest = reader.u64();
  if (page >= ram_pages || encoding > static_cast<std::uint32_t>(PageEncoding::lz4)) {
    throw ProtocolError("the peer sent an unsound page");
  }
  SinglePage result{page, static_cast<PageEncoding>(encoding), digest, payload.subspan(16)};
  const std::size_t size = result.data.size();
  const bool sound = result.encoding == PageEncoding::zero  ? size == 0
                     : result.encoding == PageEncoding::raw ? size == vmm::kPageSize
                                                            : size > 0;
  if (!sound) throw ProtocolError("the peer sent a page of a wrong length");
  return result;
}

}  // namespace migration::wire
