#include "migration/pages/page_receiver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "migration/pages/page_codec.hpp"
#include "migration/pages/page_sink.hpp"
#include "vmm/memory/huge_page.hpp"
#include "vmm/os/scheduling.hpp"

namespace migration {

using wire::FrameType;
using wire::ProtocolError;

namespace {

/// A block that has so much data, in one frame, becomes a huge page with its zero pages. These
/// would cost nothing alone; but a huge page is installed several times faster than its pages one
/// by one, and the guest runs faster on it afterwards.
constexpr std::uint64_t kBlockData = vmm::kHugePagePages / 2;

std::uint64_t pages_of(const std::vector<vmm::PageRange>& ranges) {
  std::uint64_t pages = 0;
  for (const vmm::PageRange& range : ranges) pages += range.count;
  return pages;
}

bool nearly_block(const std::vector<vmm::PageRange>& ranges) {
  const vmm::PageIndex block = ranges.front().first / vmm::kHugePagePages;
  for (const vmm::PageRange& range : ranges) {
    if (range.first / vmm::kHugePagePages != block ||
        (range.end() - 1) / vmm::kHugePagePages != block)
      return false;
  }
  return pages_of(ranges) >= kBlockData;
}

std::size_t bytes_of(const std::vector<vmm::PageRange>& ranges) {
  return pages_of(ranges) * vmm::kPageSize;
}

}  // namespace

PageReceiver::PageReceiver(net::Socket socket, PageTarget& target, Done done)
    : stream_(std::move(socket)),
      target_(target),
      memory_(target.memory),
      done_(std::move(done)),
      thread_(
          vmm::ThreadRole::pages_in, [this] { run(); },
          [this](std::exception_ptr failure) { done_(0, std::move(failure)); }) {}

PageReceiver::~PageReceiver() {
  stream_.interrupt();
  thread_.join();
}

void PageReceiver::run() {
  for (;;) {
    const wire::FrameHeader header =
        wire::decode_header(in_.take(wire::kHeaderBytes).first<wire::kHeaderBytes>());
    if (header.type == FrameType::round_end) {
      end_round(wire::decode_round(in_.take(header.payload)));
    } else {
      receive(header);
    }
  }
}

/// Each is ended once, so that one channel does not count for another.
void PageReceiver::end_round(std::uint32_t round) {
  if (round <= ended_) throw ProtocolError("the peer ended a round twice");
  ended_ = round;
  done_(round, nullptr);
}

void PageReceiver::receive(const wire::FrameHeader& header) {
  const std::size_t list = header.ranges * wire::kRangeBytes;
  const std::size_t rest = header.payload - list;
  const std::span<const std::byte> bytes = in_.take(list);
  const std::uint64_t pages = memory_.page_count();
  std::uint64_t limit = 0;
  switch (header.type) {
    case FrameType::pages_raw: limit = wire::kMaxRawPages; break;
    case FrameType::pages_lz4: limit = wire::kMaxLz4Pages; break;
    case FrameType::pages_zero: limit = pages; break;
    default:
      throw ProtocolError(fmt::format("the peer sent a frame of type {} among the pages",
                                      static_cast<unsigned>(header.type)));
  }
  const auto ranges = wire::decode_ranges(bytes, pages, limit);
  if (header.type == FrameType::pages_zero && rest != 0) {
    throw ProtocolError("the peer sent zero pages with data");
  }
  const std::uint64_t count = pages_of(ranges);
  if (target_.in_round.fetch_add(count) + count > pages) {
    throw ProtocolError("the peer sent more pages in a round than RAM has");
  }
  target_.tally->pages += count;
  target_.tally->bytes += wire::kHeaderBytes + header.payload;
  if (PageSink* const sink = target_.sink.load()) {
    if (!std::exchange(aside_, true)) vmm::step_aside();  // the guest may run
    vmm::keep_off(sink->busy_processor());
    return install(*sink, header.type, ranges, rest);
  }
  if (header.type == FrameType::pages_raw) return receive_raw(ranges, rest);
  if (header.type == FrameType::pages_lz4) return receive_compressed(ranges, rest);
  clear(ranges);
}

void PageReceiver::receive_raw(const std::vector<vmm::PageRange>& ranges, std::size_t bytes) {
  if (bytes_of(ranges) != bytes) {
    throw ProtocolError("the peer sent a frame whose pages do not fill it");
  }
  if (target_.collapser) target_.collapser->collapse_for(ranges);
  parts_.clear();
  for (const vmm::PageRange& range : ranges) {
    const auto pages = memory_.pages(range);
    parts_.push_back({pages.data(), pages.size()});
    memory_.reserve(range);
    target_.written.put(range);
  }
  in_.read(parts_);
}

void PageReceiver::receive_compressed(const std::vector<vmm::PageRange>& ranges,
                                      std::size_t bytes) {
  const std::span<const std::byte> block = in_.take(bytes);
  for (const vmm::PageRange& range : ranges) {
    memory_.reserve(range);
    target_.written.put(range);
  }
  // One range, the usual case, is unpacked in place. A damaged block may leave anything there, and
  // nobody ever sees it: no vCPU runs yet, and the migration ends before the VM is prepared.
  if (ranges.size() == 1) return PageCodec::unpack(block, memory_.pages(ranges.front()));
  PageCodec::unpack(block, out(bytes_of(ranges)));
  for (std::size_t at = 0; const vmm::PageRange& range : ranges) {
    const auto pages = memory_.pages(range);
    std::memcpy(pages.data(), out_.data() + at, pages.size());
    at += pages.size();
  }
}

std::span<std::byte> PageReceiver::out(std::size_t size) {
  out_.resize(std::max(out_.size(), size));
  return std::span(out_).first(size);
}

/// A block of RAM that will be a huge page.
void PageReceiver::install_block(PageSink& sink, const std::vector<vmm::PageRange>& ranges) {
  const vmm::PageIndex first = ranges.front().first / vmm::kHugePagePages * vmm::kHugePagePages;
  const auto lent = sink.lend_block(first, ranges);
  const auto block = lent.empty() ? block_.zeroed() : lent;
  parts_.clear();
  for (const vmm::PageRange& range : ranges) {
    parts_.push_back(
        {block.data() + (range.first - first) * vmm::kPageSize, range.count * vmm::kPageSize});
  }
  if (lent.empty()) {
    in_.read(parts_);
    if (!sink.install_block(first, ranges, block, digests_)) block_.mark_stale();
    return;
  }
  try {
    in_.read(parts_);
  } catch (...) {
    sink.give_back(first);
    throw;
  }
  sink.install_lent(first, ranges, block, digests_);
}

/// The pages are put together where no vCPU sees half a page.
void PageReceiver::install(PageSink& sink, FrameType type,
                           const std::vector<vmm::PageRange>& ranges, std::size_t bytes) {
  if (type == FrameType::pages_zero) return sink.install_zero(ranges);
  const std::size_t size = bytes_of(ranges);
  const std::size_t digests = sink.digests() ? size / vmm::kPageSize * wire::kDigestBytes : 0;
  if (bytes < digests || (type == FrameType::pages_raw && bytes - digests != size)) {
    throw ProtocolError("the peer sent a frame whose pages do not fill it");
  }
  const auto given = in_.take(digests);
  digests_.resize(digests / wire::kDigestBytes);
  if (digests > 0) std::memcpy(digests_.data(), given.data(), given.size());
  if (type == FrameType::pages_raw && nearly_block(ranges)) return install_block(sink, ranges);
  const auto pages = out(size);
  if (type == FrameType::pages_lz4) {
    PageCodec::unpack(in_.take(bytes - digests), pages);
  } else {
    iovec part{pages.data(), pages.size()};
    in_.read({&part, 1});
  }
  sink.install(ranges, pages, digests_);
}

void PageReceiver::clear(const std::vector<vmm::PageRange>& ranges) {
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      if (!target_.written.test(page)) continue;  // fresh RAM is zero, and looking would allocate it
      const auto bytes = memory_.pages({page, 1});
      std::memset(bytes.data(), 0, bytes.size());
    }
  }
}

}  // namespace migration
