#include "migration/pages/page_receiver.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace migration {

using wire::FrameType;
using wire::ProtocolError;

PageReceiver::PageReceiver(net::Socket socket, PageTarget& target, std::unique_ptr<PageSink> sink,
                           Done done)
    : stream_(std::move(socket)),
      target_(target),
      done_(std::move(done)),
      sink_(std::move(sink)),
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
  const std::uint64_t pages = target_.memory.page_count();
  std::uint64_t limit = 0;
  switch (header.type) {
    case FrameType::pages_raw: limit = wire::kMaxRawPages; break;
    case FrameType::pages_lz4:
    case FrameType::pages_zstd: limit = wire::kMaxLz4Pages; break;
    case FrameType::pages_delta: limit = wire::kMaxDeltaPages; break;
    case FrameType::pages_same: limit = wire::kMaxSamePages; break;
    case FrameType::pages_alike: limit = wire::kMaxAlikePages; break;
    case FrameType::pages_zero: limit = pages; break;
    default:
      throw ProtocolError(fmt::format("the peer sent a frame of type {} among the pages",
                                      static_cast<unsigned>(header.type)));
  }
  const auto ranges = wire::decode_ranges(bytes, pages, limit);
  if (header.type == FrameType::pages_zero && rest != 0) {
    throw ProtocolError("the peer sent zero pages with data");
  }
  const std::uint64_t count = vmm::count_pages(ranges);
  if (target_.in_round.fetch_add(count) + count > pages) {
    throw ProtocolError("the peer sent more pages in a round than RAM has");
  }
  target_.tally->pages += count;
  target_.tally->bytes += wire::kHeaderBytes + header.payload;
  switch (header.type) {
    case FrameType::pages_raw: return sink().put_raw(ranges, in_, rest);
    case FrameType::pages_lz4: return sink().put_compressed(ranges, in_, rest, BlockFormat::lz4);
    case FrameType::pages_zstd: return sink().put_compressed(ranges, in_, rest, BlockFormat::zstd);
    case FrameType::pages_delta: return sink().put_deltas(ranges, in_, rest);
    case FrameType::pages_same: return sink().put_same(ranges, in_, rest);
    case FrameType::pages_alike: return sink().put_alike(ranges, in_, rest);
    default: return sink().put_zero(ranges);
  }
}

PageSink& PageReceiver::sink() {
  const vmm::Lock lock(mutex_);
  if (next_) sink_ = std::move(next_);
  return *sink_;
}

void PageReceiver::switch_to(std::unique_ptr<PageSink> sink) {
  const vmm::Lock lock(mutex_);
  next_ = std::move(sink);
}

}  // namespace migration
