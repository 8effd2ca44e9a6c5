#include "migration/pages/page_receiver.hpp"

#include <fmt/format.h>
#include <lz4.h>
#include <pthread.h>

#include <algorithm>
#include <array>
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
      std::array<std::byte, wire::kHeaderBytes> bytes{};
      stream_.read(bytes);
      const wire::FrameHeader header = wire::decode_header(bytes);
      if (header.type == FrameType::round_end) {
        std::vector<std::byte> payload(header.payload);
        stream_.read(payload);
        done_(wire::decode_round(payload), nullptr);
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
  in_.resize(std::max(in_.size(), list));
  stream_.read(std::span(in_).first(list));
  const std::span<const std::byte> bytes = std::span(in_).first(list);
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
  stream_.read(parts_);
}

void PageReceiver::receive_compressed(const std::vector<vmm::PageRange>& ranges,
                                      std::size_t bytes) {
  constexpr std::size_t kBlock = wire::kMaxLz4Pages * vmm::kPageSize;
  in_.resize(std::max(in_.size(), bytes));
  out_.resize(kBlock);
  stream_.read(std::span(in_).first(bytes));
  std::size_t size = 0;
  for (const vmm::PageRange& range : ranges) size += range.count * vmm::kPageSize;
  const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(in_.data()),
                                      reinterpret_cast<char*>(out_.data()), static_cast<int>(bytes),
                                      static_cast<int>(size));
  if (got < 0 || static_cast<std::size_t>(got) != size) {
    throw ProtocolError("the peer sent a damaged LZ4 block");
  }
  std::size_t at = 0;
  for (const vmm::PageRange& range : ranges) {
    const auto pages = memory_.pages(range);
    landed_.put(range);
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
