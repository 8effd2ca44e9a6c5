/// Feeds every decoder of the wire format with what a hostile peer may send. The first byte chooses
/// the decoder, so that a corpus covers them all. Whatever is unsound must end in ProtocolError.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "migration/pages/page_codec.hpp"
#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "migration/wire/messages.hpp"
#include "vmm/machine/machine_config.hpp"

namespace {

using namespace migration::wire;

constexpr std::uint64_t kRamPages = 4096;

void decode_one(unsigned which, std::span<const std::byte> bytes) {
  switch (which % 25) {
    case 0:
      if (bytes.size() >= kPreambleBytes) {
        static_cast<void>(decode_preamble(bytes.first<kPreambleBytes>()));
      }
      break;
    case 1:
      if (bytes.size() >= kHeaderBytes) {
        const FrameHeader header = decode_header(bytes.first<kHeaderBytes>());
        if (header.payload > kMaxStateBytes) __builtin_trap();
        check_direction(header, Side::destination);
      }
      break;
    case 2: static_cast<void>(decode_ranges(bytes, kRamPages, kMaxRawPages)); break;
    case 3: static_cast<void>(decode_channel(bytes)); break;
    case 4: {
      // What is accepted must encode to the very bytes that were read.
      const Bytes again = encode_state(decode_state(bytes));
      if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) __builtin_trap();
      break;
    }
    case 5: static_cast<void>(decode_digests(bytes, kRamPages)); break;
    case 6: static_cast<void>(decode<Offer>(bytes)); break;
    case 7: static_cast<void>(decode<Prepared>(bytes)); break;
    case 8: static_cast<void>(decode<Running>(bytes)); break;
    case 9: static_cast<void>(decode<Inquire>(bytes)); break;
    case 10: static_cast<void>(decode<Status>(bytes)); break;
    case 11:
      static_cast<void>(vmm::machine_config_from_json(
          {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
      break;
    case 12: {
      // What is accepted lies within its range, in order and without touching.
      const Missing missing = decode_missing(bytes, kRamPages);
      vmm::PageIndex from = missing.range.first;
      for (const vmm::PageRange& run : missing.pages) {
        if (run.count == 0 || run.first < from || run.end() > missing.range.end()) __builtin_trap();
        from = run.end() + 1;
      }
      break;
    }
    case 13: {
      const PageRequest request = decode_request(bytes, kRamPages);
      Bytes again;
      put_request(again, request.page, request.compressed);
      if (!std::equal(again.begin() + kHeaderBytes, again.end(), bytes.begin(), bytes.end())) {
        __builtin_trap();
      }
      break;
    }
    case 14: {
      const SinglePage page = decode_page(bytes, kRamPages);
      Bytes again;
      put_single_page(again, FrameType::page, page.page, page.encoding, page.digest,
                      page.data.size());
      again.insert(again.end(), page.data.begin(), page.data.end());
      if (!std::equal(again.begin() + kHeaderBytes, again.end(), bytes.begin(), bytes.end())) {
        __builtin_trap();
      }
      break;
    }
    case 15: {
      const Hashes hashes = decode_hashes(bytes, kRamPages);
      if (hashes.stretch().end() > kRamPages) __builtin_trap();
      const Bytes again = encode_hashes(hashes);
      if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) __builtin_trap();
      break;
    }
    case 16: {
      // What is accepted is copied without another look.
      const std::vector<migration::Copy> copies = decode_copies(bytes, kRamPages);
      for (const auto& [to, from, count] : copies) {
        if (to + count > kRamPages || from + count > kRamPages) __builtin_trap();
        if (count == 0 || (to < from + count && from < to + count)) __builtin_trap();
      }
      const Bytes again = encode_copies(copies);
      if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) __builtin_trap();
      break;
    }
    case 22:
      if (bytes.size() >= kDeltaHeadBytes) {
        const DeltaHead head = decode_delta_head(bytes.first<kDeltaHeadBytes>());
        if (head.bytes == 0 || head.bytes > vmm::kPageSize) __builtin_trap();
        // What it unpacks to fills a page or is refused.
        std::vector<std::byte> base(vmm::kPageSize, std::byte{1}), page(vmm::kPageSize);
        migration::PageCodec::unpack_delta(bytes.subspan(kDeltaHeadBytes), base, page);
      }
      break;
    case 23:
      if (bytes.size() >= kSameBytes) {
        if (decode_same(bytes.first<kSameBytes>(), kRamPages).as >= kRamPages) __builtin_trap();
      }
      break;
    case 24: {
      // What it unpacks to fills the pages or is refused.
      migration::PageCodec codec;
      std::vector<std::byte> pages(2 * vmm::kPageSize);
      codec.unpack(migration::BlockFormat::zstd, bytes, pages);
      break;
    }
    case 20: static_cast<void>(decode<migration::MigrationReport>(bytes)); break;
    case 21: {
      const auto since_save = decode_commit(bytes);
      if (since_save < since_save.zero() || since_save > kLongestStop) __builtin_trap();
      break;
    }
    case 18: static_cast<void>(decode<Reason>(bytes)); break;
    case 19: {
      // What is told of a bitmap encodes to the very bits that were read.
      const Missing missing = decode_missing(bytes, kRamPages);
      if (bytes.size() == kRangeBytes) break;
      const Bytes again = encode_missing(missing.range, missing.pages);
      if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) __builtin_trap();
      break;
    }
    case 17: {
      const Accept accept = decode<Accept>(bytes);
      const bool how = accept.image_by == migration::Reuse::generation ||
                       accept.image_by == migration::Reuse::content;
      if (how != (accept.image_pages > 0)) __builtin_trap();
      break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    decode_one(data[0], std::as_bytes(std::span(data + 1, size - 1)));
  } catch (const ProtocolError&) {
  } catch (const std::invalid_argument&) {  // of machine_config_from_json
  }
  return 0;
}
