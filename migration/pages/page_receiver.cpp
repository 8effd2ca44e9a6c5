#include "migration/pages/page_receiver.hpp"

#include <fmt/format.h>
#include <lz4.h>
#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace migration {

using wire::FrameType;
using wire::ProtocolError;

PageReceiver::PageReceiver(net::Socket socket, vmm::GuestMemory& memory, AtomicPageSet& landed,
                           Done done)
    : stream_(std::move(socket)),
      memory_(memory),
      landed_(landed),
      done_(std::move(done)),
      thread_([this] { run(); }) {}

PageReceiver::~PageReceiver() {
  stream_.interrupt();
  thread_.join();
}

void PageReceiver::run() {
  ::pthread_setname_np(::pthread_self(), "pages-in");
  try {
    for (;;) {
      const wire::FrameHeader header =
          wire::decode_header(in_.take(wire::kHeaderBytes).first<wire::kHeaderBytes>());
      if (header.type == FrameType::round_end) {
        done_(wire::decode_round(in_.take(header.payload)), nullptr);
      } else {
        receive(header);
      }
    }
  } catch (...) {
    done_(0, std::current_exception());
  }
}

void PageReceiver::receive(const wire::FrameHeader& header) {
  const std::size_t list = header.ranges * wire::kRangeBytes;
  const std::size_t rest = header.payload - list;
  const std::span<const std::byte> bytes = in_.take(list);
  const std::uint64_t pages = memory_.page_count();
  switch (header.type) {
    case FrameType::pages_raw:
      return receive_raw(wire::decode_ranges(bytes, pages, wire::kMaxRawPages), rest);
    case FrameType::pages_lz4:
      return receive_compressed(wire::decode_ranges(bytes, pages, wire::kMaxLz4Pages), rest);
    case FrameType::pages_zero:
      if (rest != 0) break;
      return clear(wire::decode_ranges(bytes, pages, pages));
    default: break;
  }
  throw ProtocolError(fmt::format("the peer sent a frame of type {} among the pages",
                                  static_cast<unsigned>(header.type)));
}

void PageReceiver::receive_raw(const std::vector<vmm::PageRange>& ranges, std::size_t bytes) {
  parts_.clear();
  std::size_t size = 0;
  for (const vmm::PageRange& range : ranges) {
    const auto pages = memory_.pages(range);
    parts_.push_back({pages.data(), pages.size()});
    size += pages.size();
  }
  if (size != bytes) throw ProtocolError("the peer sent a frame whose pages do not fill it");
  for (const vmm::PageRange& range : ranges) landed_.put(range);
  in_.read(parts_);
}

void PageReceiver::receive_compressed(const std::vector<vmm::PageRange>& ranges,
                                      std::size_t bytes) {
  const std::span<const std::byte> block = in_.take(bytes);
  std::size_t size = 0;
  for (const vmm::PageRange& range : ranges) {
    size += range.count * vmm::kPageSize;
    landed_.put(range);
  }
  // One range, the usual case, is unpacked in place. A damaged block may leave anything there, and
  // nobody ever sees it: no vCPU runs yet, and the migration ends before the VM is prepared.
  const bool in_place = ranges.size() == 1;
  if (!in_place) out_.resize(wire::kMaxLz4Pages * vmm::kPageSize);
  std::byte* const into = in_place ? memory_.pages(ranges.front()).data() : out_.data();
  const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(block.data()),
                                      reinterpret_cast<char*>(into), static_cast<int>(bytes),
                                      static_cast<int>(size));
  if (got < 0 || static_cast<std::size_t>(got) != size) {
    throw ProtocolError("the peer sent a damaged LZ4 block");
  }
  for (std::size_t at = 0; const vmm::PageRange& range : ranges) {
    if (in_place) break;
    const auto pages = memory_.pages(range);
    std::memcpy(pages.data(), out_.data() + at, pages.size());
    at += pages.size();
  }
}

void PageReceiver::clear(const std::vector<vmm::PageRange>& ranges) {
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      if (!landed_.test(page)) continue;  // fresh RAM is zero, and looking would allocate it
      const auto bytes = memory_.pages({page, 1});
      std::memset(bytes.data(), 0, bytes.size());
    }
  }
}

}  // namespace migration
