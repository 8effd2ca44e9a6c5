#include "migration/postcopy/missing_page_sink.hpp"

#include <algorithm>
#include <utility>

#include "migration/pages/page_codec.hpp"
#include "migration/pages/shared_page.hpp"
#include "migration/wire/format.hpp"
#include "vmm/bytes/byte_reader.hpp"
#include "vmm/bytes/copy_bytes.hpp"
#include "vmm/memory/huge_page.hpp"
#include "vmm/os/scheduling.hpp"

namespace migration {

namespace {

/// A block that has so much data, in one frame, becomes a huge page with its zero pages. These
/// would cost nothing alone; but a huge page is installed several times faster than its pages one
/// by one, and the guest runs faster on it afterwards.
constexpr std::uint64_t kBlockData = vmm::kHugePagePages / 2;

bool nearly_block(std::span<const vmm::PageRange> ranges) {
  const vmm::PageIndex block = ranges.front().first / vmm::kHugePagePages;
  for (const vmm::PageRange& range : ranges) {
    if (range.first / vmm::kHugePagePages != block ||
        (range.end() - 1) / vmm::kHugePagePages != block)
      return false;
  }
  return vmm::count_pages(ranges) >= kBlockData;
}

[[noreturn]] void refuse_size() {
  throw wire::ProtocolError("the peer sent a frame whose pages do not fill it");
}

}  // namespace

void MissingPageSink::make_way() {
  if (!std::exchange(aside_, true)) vmm::step_aside();
  vmm::keep_off(faults_.busy_processor());
}

std::size_t MissingPageSink::read_digests(std::uint64_t pages, net::BufferedReader& in,
                                          std::size_t bytes) {
  const std::size_t size = installer_.digests() ? pages * wire::kDigestBytes : 0;
  if (bytes < size) refuse_size();
  vmm::ByteReader<wire::ProtocolError> reader(in.take(size), "digests from the peer");
  digests_.resize(size / wire::kDigestBytes);
  for (std::uint64_t& digest : digests_) digest = reader.u64();
  return bytes - size;
}

std::span<std::byte> MissingPageSink::room_for(std::uint64_t pages) {
  const std::size_t size = pages * vmm::kPageSize;
  pages_.resize(std::max(pages_.size(), size));
  return std::span(pages_).first(size);
}

void MissingPageSink::put_raw(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                              std::size_t bytes) {
  make_way();
  const std::uint64_t count = vmm::count_pages(ranges);
  if (read_digests(count, in, bytes) != count * vmm::kPageSize) refuse_size();
  if (nearly_block(ranges)) return put_block(ranges, in);
  const auto pages = room_for(count);
  iovec part{pages.data(), pages.size()};
  in.read({&part, 1});
  installer_.install(ranges, pages, digests_);
}

/// A block of RAM that will be a huge page.
void MissingPageSink::put_block(std::span<const vmm::PageRange> ranges, net::BufferedReader& in) {
  const vmm::PageIndex first = ranges.front().first / vmm::kHugePagePages * vmm::kHugePagePages;
  auto reservation = installer_.reserve_block(first, ranges);
  const auto block = reservation ? reservation->bytes() : block_.zeroed();
  parts_.clear();
  for (const vmm::PageRange& range : ranges) {
    parts_.push_back(
        {block.data() + (range.first - first) * vmm::kPageSize, range.count * vmm::kPageSize});
  }
  in.read(parts_);
  if (reservation) {
    installer_.install_reserved(std::move(*reservation), first, ranges, digests_);
  } else if (!installer_.install_block(first, ranges, block, digests_)) {
    block_.mark_stale();
  }
}

void MissingPageSink::put_compressed(std::span<const vmm::PageRange> ranges,
                                     net::BufferedReader& in, std::size_t bytes,
                                     BlockFormat format) {
  make_way();
  const std::uint64_t count = vmm::count_pages(ranges);
  const std::size_t size = read_digests(count, in, bytes);
  const auto pages = room_for(count);
  codec_.unpack(format, in.take(size), pages);
  installer_.install(ranges, pages, digests_);
}

void MissingPageSink::put_deltas(std::span<const vmm::PageRange> /*ranges*/,
                                 net::BufferedReader& /*in*/, std::size_t /*bytes*/) {
  throw wire::ProtocolError("the peer sent the difference of a page that is missing here");
}

void MissingPageSink::put_same(std::span<const vmm::PageRange> /*ranges*/,
                               net::BufferedReader& /*in*/, std::size_t /*bytes*/) {
  throw wire::ProtocolError("the peer sent a page as one that the guest may have changed");
}

void MissingPageSink::put_alike(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                                std::size_t bytes) {
  make_way();
  const std::uint64_t count = vmm::count_pages(ranges);
  const std::size_t size = read_digests(1, in, bytes);
  const auto pages = room_for(count);
  for (std::size_t at = 0; at < pages.size(); at += vmm::kPageSize) {
    const auto page = pages.subspan(at, vmm::kPageSize);
    if (at == 0) {
      read_shared_page(in, size, page);
    } else {
      vmm::copy_bytes(pages.first(vmm::kPageSize), page);
    }
  }
  if (!digests_.empty()) digests_.resize(count, digests_.front());
  installer_.install(ranges, pages, digests_);
}

void MissingPageSink::put_zero(std::span<const vmm::PageRange> ranges) {
  make_way();
  installer_.install_zero(ranges);
}

}  // namespace migration
