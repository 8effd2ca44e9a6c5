#include "migration/pages/ram_sink.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "migration/base/page_content.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/pages/shared_page.hpp"
#include "migration/wire/decode.hpp"
#include "migration/wire/format.hpp"
#include "vmm/bytes/copy_bytes.hpp"

namespace migration {

namespace {

[[noreturn]] void refuse_size() {
  throw wire::ProtocolError("the peer sent a frame whose pages do not fill it");
}

/// The next `wanted` bytes of a frame of which `left` are left.
std::span<const std::byte> take_of(net::BufferedReader& in, std::size_t& left, std::size_t wanted) {
  if (wanted > left) refuse_size();
  left -= wanted;
  return in.take(wanted);
}

}  // namespace

void RamSink::put_raw(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                      std::size_t bytes) {
  if (vmm::count_pages(ranges) * vmm::kPageSize != bytes) refuse_size();
  if (target_.collapser) target_.collapser->collapse_for(ranges);
  parts_.clear();
  for (const vmm::PageRange& range : ranges) {
    const auto pages = target_.memory.pages(range);
    parts_.push_back({pages.data(), pages.size()});
    target_.memory.reserve(range);
    target_.written.put(range);
  }
  in.read(parts_);
}

void RamSink::put_compressed(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                             std::size_t bytes, BlockFormat format) {
  const std::span<const std::byte> block = in.take(bytes);
  for (const vmm::PageRange& range : ranges) {
    target_.memory.reserve(range);
    target_.written.put(range);
  }
  // One range, the usual case, is unpacked in place. A damaged block may leave anything there, and
  // nobody ever sees it: no vCPU runs yet, and the migration ends before the VM is prepared.
  if (ranges.size() == 1) return codec_.unpack(format, block, target_.memory.pages(ranges.front()));
  const std::size_t size = vmm::count_pages(ranges) * vmm::kPageSize;
  pages_.resize(std::max(pages_.size(), size));
  codec_.unpack(format, block, std::span(pages_).first(size));
  for (std::size_t at = 0; const vmm::PageRange& range : ranges) {
    const auto pages = target_.memory.pages(range);
    std::memcpy(pages.data(), pages_.data() + at, pages.size());
    at += pages.size();
  }
}

void RamSink::put_deltas(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                         std::size_t bytes) {
  std::array<std::byte, vmm::kPageSize> becomes{};
  for (const vmm::PageRange& range : ranges) {
    target_.memory.reserve(range);
    target_.written.put(range);
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      const wire::DeltaHead head = wire::decode_delta_head(
          take_of(in, bytes, wire::kDeltaHeadBytes).first<wire::kDeltaHeadBytes>());
      const auto base = target_.memory.pages({page, 1});
      PageCodec::unpack_delta(take_of(in, bytes, head.bytes), base, becomes);
      if (digest_of(becomes) != head.digest) {
        throw wire::ProtocolError(
            "the peer sent a difference from another page than the one that is here");
      }
      vmm::copy_bytes(becomes, base);
    }
  }
  if (bytes != 0) refuse_size();
}

void RamSink::put_same(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                       std::size_t bytes) {
  std::array<std::byte, vmm::kPageSize> becomes{};
  for (const vmm::PageRange& range : ranges) {
    target_.memory.reserve(range);
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      const wire::SamePage same =
          wire::decode_same(take_of(in, bytes, wire::kSameBytes).first<wire::kSameBytes>(),
                            target_.memory.page_count());
      if (target_.written.test(same.as)) {
        vmm::copy_bytes(target_.memory.pages({same.as, 1}), becomes);
      }
      if (!target_.written.test(same.as) || digest_of(becomes) != same.digest) {
        throw wire::ProtocolError("the peer sent a page as one that is not here");
      }
      vmm::copy_bytes(becomes, target_.memory.pages({page, 1}));
      target_.written.put({page, 1});
    }
  }
  if (bytes != 0) refuse_size();
}

void RamSink::put_alike(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                        std::size_t bytes) {
  std::array<std::byte, vmm::kPageSize> shared{};
  read_shared_page(in, bytes, shared);
  for (const vmm::PageRange& range : ranges) {
    target_.memory.reserve(range);
    target_.written.put(range);
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      vmm::copy_bytes(shared, target_.memory.pages({page, 1}));
    }
  }
}

void RamSink::put_zero(std::span<const vmm::PageRange> ranges) {
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      // Fresh RAM is zero, and looking would allocate it.
      if (!target_.written.test(page)) continue;
      const auto bytes = target_.memory.pages({page, 1});
      std::memset(bytes.data(), 0, bytes.size());
    }
  }
}

}  // namespace migration
