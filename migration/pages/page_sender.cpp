#include "migration/pages/page_sender.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/page_content.hpp"
#include "vmm/os/scheduling.hpp"

namespace migration {

namespace {

using Clock = std::chrono::steady_clock;
using wire::FrameType;

/// A block that shrinks less than this goes raw: it saves the peer the decompression.
constexpr std::size_t worth(std::size_t in) { return in - in / 16; }

/// Compressed frames are written together, so many bytes at a time: each write wakes the receiver.
constexpr std::size_t kWriteFrames = 128 << 10;

constexpr std::size_t kBlock = wire::kMaxLz4Pages * vmm::kPageSize;
/// Before the largest block in its frame.
constexpr std::size_t kFrameHead =
    wire::kHeaderBytes + wire::kMaxLz4Pages * (wire::kRangeBytes + wire::kDigestBytes);

/// LZ4's fast mode one step faster: 2 % less CPU time for 0.7 % more bytes.
constexpr int kAcceleration = 2;

/// Raw pages per frame. Under a rate cap few, so that the pace is even.
constexpr std::uint64_t kRawPages = 256;
constexpr std::uint64_t kCappedRawPages = 16;

/// Bytes that an urgent round may leave with the kernel unsent.
constexpr std::size_t kUrgentUnsent = std::size_t{256} << 10;

double cap_per_channel(const PageSender::Shared& shared) {
  return static_cast<double>(shared.limiter.rate()) / shared.channels;
}

}  // namespace

void PageSender::Batch::add(vmm::PageRange range) {
  pages += range.count;
  if (!ranges.empty() && ranges.back().end() == range.first) {
    ranges.back().count += range.count;
  } else {
    ranges.push_back(range);
  }
}

void PageSender::Batch::clear() {
  ranges.clear();
  pages = 0;
}

PageSender::PageSender(net::Socket socket, wire::Bytes greeting, Shared& shared, Done done)
    : stream_(std::move(socket), shared.timeout),
      greeting_(std::move(greeting)),
      shared_(shared),
      done_(std::move(done)),
      policy_(shared.compression, cap_per_channel(shared)),
      thread_(
          vmm::ThreadRole::pages_out, [this] { run(); },
          [this](std::exception_ptr failure) { done_(std::move(failure)); }) {}

PageSender::~PageSender() {
  {
    const vmm::Lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  stream_.interrupt();
  thread_.join();
}

void PageSender::start(std::shared_ptr<Round> round) {
  {
    const vmm::Lock lock(mutex_);
    next_round_ = std::move(round);
  }
  changed_.notify_all();
}

void PageSender::run() {
  // At once, whatever the cap: the destination hangs up on who does not say what he wants.
  iovec part{greeting_.data(), greeting_.size()};
  shared_.limiter.charge(greeting_.size());
  shared_.counters.wire_bytes += greeting_.size();
  stream_.write({&part, 1});
  for (;;) {
    std::shared_ptr<Round> round;
    {
      vmm::Lock lock(mutex_);
      changed_.wait(lock, [this]() FERRY_REQUIRES(mutex_) { return stopping_ || next_round_; });
      if (stopping_) return;
      round = std::exchange(next_round_, nullptr);
    }
    send_round(*round);
    round.reset();
    done_(nullptr);
  }
}

void PageSender::send_round(Round& round) {
  policy_.set_cap(cap_per_channel(shared_));
  with_digests_ = round.digests();
  // In an urgent round a chunk is as large as its frame may be.
  raw_limit_ = shared_.limiter.rate() != 0 ? kCappedRawPages
               : round.urgent()            ? wire::kMaxRawPages
                                           : kRawPages;
  if (round.urgent()) {
    stream_.limit_unsent(kUrgentUnsent);
    vmm::step_aside();  // for what is asked for
  }
  while (const auto chunk = round.next_chunk()) {
    take_up(*chunk);
    if (round.urgent()) flush();
  }
  flush();
  header_.clear();
  wire::put_frame(header_, FrameType::round_end, wire::encode_round(round.number()));
  iovec part{header_.data(), header_.size()};
  write({&part, 1});
}

void PageSender::take_up(const Chunk& chunk) {
  for (const vmm::PageRange& range : chunk.absent) add_zero(range);
  for (const vmm::PageRange& range : chunk.data) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      if (is_zero(std::as_const(shared_.memory).pages({page, 1}))) {
        add_zero({page, 1});
        ++shared_.counters.zero;
      } else {
        add_data(page);
      }
    }
  }
}

void PageSender::flush() {
  flush_zero();
  flush_raw();
  flush_compressed();
  flush_frames();
}

std::span<std::byte> PageSender::digests(std::span<const vmm::PageRange> ranges) {
  digests_.clear();
  if (with_digests_) {
    for (const vmm::PageRange& range : ranges) {
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
        digests_.push_back(digest_of(std::as_const(shared_.memory).pages({page, 1})));
      }
    }
  }
  return std::as_writable_bytes(std::span(digests_));
}

void PageSender::add_zero(vmm::PageRange range) {
  zero_.add(range);
  if (zero_.ranges.size() == wire::kMaxRanges) flush_zero();
}

void PageSender::add_data(vmm::PageIndex page) {
  if (policy_.compress() && looks_compressible(std::as_const(shared_.memory).pages({page, 1}))) {
    lz4_.add(page);
    if (lz4_.pages == wire::kMaxLz4Pages) flush_compressed();
  } else {
    raw_.add(page);
    if (raw_.pages >= raw_limit_) flush_raw();
  }
}

void PageSender::flush_zero() {
  if (zero_.pages == 0) return;
  header_.clear();
  wire::put_page_header(header_, FrameType::pages_zero, zero_.ranges, 0);
  iovec part{header_.data(), header_.size()};
  write({&part, 1});
  zero_.clear();
}

void PageSender::flush_raw() {
  if (raw_.pages == 0) return;
  if (!policy_.compress() && policy_.probe_due()) {
    const auto start = Clock::now();
    const Block block = compress(raw_, frames_used_);
    policy_.probed(static_cast<double>(block.in), static_cast<double>(block.out),
                   seconds_since(start));
  }
  header_.clear();
  const auto digests = this->digests(raw_.ranges);
  wire::put_page_header(header_, FrameType::pages_raw, raw_.ranges, digests.size() + raw_.bytes());
  parts_.assign(1, iovec{header_.data(), header_.size()});
  if (!digests.empty()) parts_.push_back({digests.data(), digests.size()});
  for (const vmm::PageRange& range : raw_.ranges) {
    const auto pages = shared_.memory.pages(range);
    parts_.push_back({pages.data(), pages.size()});
  }
  const auto start = Clock::now();
  write(parts_);
  const auto bytes = static_cast<double>(raw_.bytes());
  if (policy_.compress()) {
    policy_.sent_compressed(bytes, bytes, 0, seconds_since(start));
  } else {
    policy_.sent_raw(bytes, seconds_since(start));
  }
  shared_.counters.raw += raw_.pages;
  raw_.clear();
}

void PageSender::flush_compressed() {
  if (lz4_.pages == 0) return;
  const auto digests = this->digests(lz4_.ranges);
  const std::size_t head =
      wire::kHeaderBytes + lz4_.ranges.size() * wire::kRangeBytes + digests.size();
  const auto start = Clock::now();
  // Straight to its place in the frame, whose header follows when the size is known.
  const Block block = compress(lz4_, frames_used_ + head);
  gathered_.seconds += seconds_since(start);
  const bool shrinks = block.out <= worth(block.in);
  const std::size_t size = shrinks ? block.out : block.in;
  std::byte* const frame = frames_.data() + frames_used_;
  header_.clear();
  wire::put_page_header(header_, shrinks ? FrameType::pages_lz4 : FrameType::pages_raw, lz4_.ranges,
                        digests.size() + size);
  std::ranges::copy(digests, std::back_inserter(header_));
  std::memcpy(frame, header_.data(), head);
  // Raw pages too from the private copy: the live ones may have changed since.
  if (!shrinks) std::memcpy(frame + head, copy_.data(), size);
  frames_used_ += head + size;
  (shrinks ? shared_.counters.compressed : shared_.counters.raw) += lz4_.pages;
  gathered_.in += static_cast<double>(block.in);
  gathered_.out += static_cast<double>(size);
  lz4_.clear();
  if (frames_used_ >= kWriteFrames) flush_frames();
}

void PageSender::flush_frames() {
  if (frames_used_ == 0) return;
  const auto start = Clock::now();
  iovec part{frames_.data(), frames_used_};
  write({&part, 1});
  policy_.sent_compressed(gathered_.in, gathered_.out, gathered_.seconds, seconds_since(start));
  frames_used_ = 0;
  gathered_ = {};
}

PageSender::Block PageSender::compress(const Batch& batch, std::size_t at) {
  copy_.resize(kBlock);
  // For one more frame behind as many bytes as are not yet written.
  frames_.resize(kWriteFrames + kFrameHead + PageCodec::room_for(kBlock));
  // LZ4 reads its input more than once, and the guest may be writing it: compress a copy.
  Block block;
  for (const vmm::PageRange& range : batch.ranges) {
    const auto pages = std::as_const(shared_.memory).pages(range);
    const std::size_t take = std::min(pages.size(), kBlock - block.in);
    std::memcpy(copy_.data() + block.in, pages.data(), take);
    block.in += take;
  }
  block.out =
      codec_.pack(std::span(copy_).first(block.in), std::span(frames_).subspan(at), kAcceleration);
  return block;
}

void PageSender::write(std::span<iovec> parts) {
  std::uint64_t bytes = 0;
  for (const iovec& part : parts) bytes += part.iov_len;
  shared_.limiter.acquire(bytes);
  stream_.write(parts);
  shared_.counters.wire_bytes += bytes;
}

}  // namespace migration
