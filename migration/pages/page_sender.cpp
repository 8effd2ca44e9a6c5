#include "migration/pages/page_sender.hpp"

#include <lz4.h>
#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "migration/pages/zero_page.hpp"

namespace migration {

namespace {

using Clock = std::chrono::steady_clock;
using wire::FrameType;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A block that shrinks less than this goes raw: it saves the peer the decompression.
constexpr std::size_t worth(std::size_t in) { return in - in / 16; }

/// Raw pages per frame under a rate cap: small, so that the pace is even.
constexpr std::uint64_t kCappedRawPages = 16;

void append(std::vector<vmm::PageRange>& ranges, vmm::PageRange range) {
  if (!ranges.empty() && ranges.back().end() == range.first) {
    ranges.back().count += range.count;
  } else {
    ranges.push_back(range);
  }
}

double cap_per_channel(const PageSender::Shared& shared) {
  return static_cast<double>(shared.limiter.rate()) / shared.channels;
}

}  // namespace

PageSender::PageSender(net::Socket socket, wire::Bytes greeting, Shared& shared, Done done)
    : stream_(std::move(socket)),
      greeting_(std::move(greeting)),
      shared_(shared),
      done_(std::move(done)),
      policy_(shared.compression, cap_per_channel(shared)),
      thread_([this] { run(); }) {}

PageSender::~PageSender() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  stream_.interrupt();
  thread_.join();
}

void PageSender::start(std::shared_ptr<Round> round) {
  {
    const std::lock_guard lock(mutex_);
    next_round_ = std::move(round);
  }
  changed_.notify_all();
}

void PageSender::run() {
  ::pthread_setname_np(::pthread_self(), "pages-out");
  try {
    iovec part{greeting_.data(), greeting_.size()};
    write({&part, 1});
    for (;;) {
      std::shared_ptr<Round> round;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || next_round_; });
        if (stopping_) return;
        round = std::exchange(next_round_, nullptr);
      }
      send_round(*round);
      round.reset();
      done_(nullptr);
    }
  } catch (...) {
    done_(std::current_exception());
  }
}

void PageSender::send_round(Round& round) {
  policy_.set_cap(cap_per_channel(shared_));
  while (const auto chunk = round.next_chunk()) take_up(round, *chunk);
  flush_zero();
  flush_data();
  header_.clear();
  wire::put_frame(header_, FrameType::round_end, wire::encode_round(round.number()));
  iovec part{header_.data(), header_.size()};
  write({&part, 1});
}

void PageSender::take_up(const Round& round, vmm::PageRange chunk) {
  vmm::PageIndex from = chunk.first;
  while (const auto range = round.pages().next_range(from, chunk.end())) {
    for (vmm::PageIndex page = range->first; page < range->end(); ++page) {
      const vmm::PageRange one{page, 1};
      if (is_zero(std::as_const(shared_.memory).pages(one))) {
        add_zero(one);
      } else {
        add_data(one);
      }
    }
    from = range->end();
  }
}

void PageSender::add_zero(vmm::PageRange range) {
  append(zero_, range);
  if (zero_.size() == wire::kMaxRanges) flush_zero();
}

void PageSender::add_data(vmm::PageRange range) {
  append(data_, range);
  data_pages_ += range.count;
  std::uint64_t full = wire::kMaxRawPages;
  if (policy_.compress()) {
    full = wire::kMaxLz4Pages;
  } else if (shared_.limiter.rate() != 0) {
    full = kCappedRawPages;
  }
  if (data_pages_ >= full) flush_data();
}

void PageSender::flush_zero() {
  if (zero_.empty()) return;
  std::uint64_t pages = 0;
  for (const vmm::PageRange& range : zero_) pages += range.count;
  header_.clear();
  wire::put_page_header(header_, FrameType::pages_zero, zero_, 0);
  iovec part{header_.data(), header_.size()};
  write({&part, 1});
  shared_.counters.zero += pages;
  zero_.clear();
}

void PageSender::flush_data() {
  if (data_.empty()) return;
  if (policy_.compress() && data_pages_ <= wire::kMaxLz4Pages) {
    flush_compressed();
  } else {
    if (policy_.probe_due()) {
      const auto start = Clock::now();
      const std::size_t in =
          std::min<std::size_t>(data_pages_, wire::kMaxLz4Pages) * vmm::kPageSize;
      const std::size_t out = compress();
      policy_.probed(static_cast<double>(in), static_cast<double>(out), seconds_since(start));
    }
    flush_raw();
  }
  data_.clear();
  data_pages_ = 0;
}

void PageSender::flush_raw() {
  const std::size_t bytes = data_pages_ * vmm::kPageSize;
  header_.clear();
  wire::put_page_header(header_, FrameType::pages_raw, data_, bytes);
  parts_.assign(1, iovec{header_.data(), header_.size()});
  for (const vmm::PageRange& range : data_) {
    const auto pages = shared_.memory.pages(range);
    parts_.push_back({pages.data(), pages.size()});
  }
  const auto start = Clock::now();
  write(parts_);
  policy_.sent_raw(static_cast<double>(bytes), seconds_since(start));
  shared_.counters.raw += data_pages_;
}

void PageSender::flush_compressed() {
  const auto start = Clock::now();
  const std::size_t in = data_pages_ * vmm::kPageSize;
  const std::size_t out = compress();
  const double compress_seconds = seconds_since(start);
  header_.clear();
  const auto write_start = Clock::now();
  if (out > worth(in)) {
    // From the private copy: the live pages may shrink or grow while they are looked at again.
    wire::put_page_header(header_, FrameType::pages_raw, data_, in);
    iovec parts[] = {{header_.data(), header_.size()}, {copy_.data(), in}};
    write(parts);
    shared_.counters.raw += data_pages_;
  } else {
    wire::put_page_header(header_, FrameType::pages_lz4, data_, out);
    iovec parts[] = {{header_.data(), header_.size()}, {compressed_.data(), out}};
    write(parts);
    shared_.counters.compressed += data_pages_;
  }
  policy_.sent_compressed(static_cast<double>(in), static_cast<double>(std::min(in, out)),
                          compress_seconds, seconds_since(write_start));
}

std::size_t PageSender::compress() {
  constexpr std::size_t kBlock = wire::kMaxLz4Pages * vmm::kPageSize;
  copy_.resize(kBlock);
  compressed_.resize(static_cast<std::size_t>(LZ4_compressBound(kBlock)));
  // LZ4 reads its input more than once, and the guest may be writing it: compress a copy.
  std::size_t in = 0;
  for (const vmm::PageRange& range : data_) {
    const auto pages = std::as_const(shared_.memory).pages(range);
    const std::size_t take = std::min(pages.size(), kBlock - in);
    std::memcpy(copy_.data() + in, pages.data(), take);
    in += take;
  }
  return static_cast<std::size_t>(LZ4_compress_default(
      reinterpret_cast<const char*>(copy_.data()), reinterpret_cast<char*>(compressed_.data()),
      static_cast<int>(in), static_cast<int>(compressed_.size())));
}

void PageSender::write(std::span<iovec> parts) {
  std::uint64_t bytes = 0;
  for (const iovec& part : parts) bytes += part.iov_len;
  shared_.limiter.take(bytes);
  stream_.write(parts);
  shared_.counters.wire_bytes += bytes;
}

}  // namespace migration
