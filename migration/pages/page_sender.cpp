#include "migration/pages/page_sender.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/base/page_content.hpp"
#include "vmm/bytes/copy_bytes.hpp"
#include "vmm/os/scheduling.hpp"

namespace migration {

namespace {

using Clock = std::chrono::steady_clock;
using wire::FrameType;

/// A block that shrinks less than this goes raw: it saves the peer the decompression.
constexpr std::size_t worth(std::size_t in) { return in - in / 16; }

/// Raw pages per frame. Under a rate cap few, so that the pace is even.
constexpr std::uint64_t kRawPages = 256;
constexpr std::uint64_t kCappedRawPages = 16;

/// Bytes that an urgent round may leave with the kernel unsent.
constexpr std::size_t kUrgentUnsent = std::size_t{256} << 10;

double share_of_cap(const PageSender::Shared& shared, unsigned channels) {
  return static_cast<double>(shared.limiter.rate()) / channels;
}

}  // namespace

PageSender::PageSender(unsigned index, net::Socket socket, wire::Bytes greeting, Shared& shared,
                       Done done)
    : index_(index),
      stream_(std::move(socket), shared.timeout),
      greeting_(std::move(greeting)),
      shared_(shared),
      done_(std::move(done)),
      policy_(shared.compression, share_of_cap(shared, shared.channels.active()), shared.zstd),
      thread_(
          vmm::ThreadRole::pages_out, [this] { run(); },
          [this](std::exception_ptr failure) { done_(std::move(failure)); }) {}

PageSender::~PageSender() {
  next_round_.stop();
  stream_.interrupt();
  thread_.join();
}

void PageSender::run() {
  // At once, whatever the cap: the destination hangs up on who does not say what he wants.
  iovec part{greeting_.data(), greeting_.size()};
  shared_.limiter.charge(greeting_.size());
  shared_.counters.wire_bytes += greeting_.size();
  stream_.write({&part, 1});
  WorkWatch watch;
  while (auto round = next_round_.take()) {
    send_round(*round, watch);
    round.reset();
    done_(nullptr);
  }
}

void PageSender::send_round(Round& round, WorkWatch& watch) {
  digests_.want(round.digests());
  round_now_ = &round;
  records_ = shared_.sent != nullptr && round.builds_on_earlier();
  // In an urgent round a chunk is as large as its frame may be.
  raw_limit_ = shared_.limiter.rate() != 0 ? kCappedRawPages
               : round.urgent()            ? wire::kMaxRawPages
                                           : kRawPages;
  if (round.urgent()) {
    stream_.limit_unsent(kUrgentUnsent);
    vmm::step_aside();  // for what is asked for
  }
  watch.begin();
  while (const auto chunk = next_chunk(round, watch)) {
    const unsigned channels = shared_.channels.active(round);
    policy_.share_link(share_of_cap(shared_, channels), channels);
    take_up(*chunk);
    if (round.urgent()) {
      flush();
    } else {
      shared_.channels.worked(watch.look());
    }
  }
  flush();
  header_.clear();
  wire::put_frame(header_, FrameType::round_end, wire::encode_round(round.number()));
  iovec part{header_.data(), header_.size()};
  write({&part, 1});
}

std::optional<Chunk> PageSender::next_chunk(Round& round, WorkWatch& watch) {
  ActiveChannels& channels = shared_.channels;
  if (!channels.has_turn(index_, round)) {
    flush();
    if (!channels.await_turn(index_, round)) return std::nullopt;
    watch.begin();
  }
  auto chunk = round.next_chunk();
  if (!chunk) channels.handed_out(round);
  return chunk;
}

void PageSender::take_up(const Chunk& chunk) {
  for (const vmm::PageRange& range : chunk.absent) add_zero(range);
  // What was sent may be written at the destination: there only the chunk itself has duplicates.
  const bool alone = shared_.duplicates && !records_ && contents_.policy().pays(policy_.link());
  for (const vmm::PageRange& range : alone ? add_alike(chunk.data) : chunk.data) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      const std::uint32_t sent = record(page);
      const auto live = std::as_const(shared_.memory).pages({page, 1});
      if (is_zero(live)) {
        add_zero({page, 1});
        ++shared_.counters.zero;
        continue;
      }
      const auto word = shared_.duplicates ? repeated_word(live) : std::nullopt;
      if (word) {
        add_word(page, *word);
      } else {
        add_data(page, sent);
      }
    }
  }
}

std::uint32_t PageSender::record(vmm::PageIndex page) {
  return records_ ? shared_.sent->put(page, round_now_->number()) : 0;
}

void PageSender::flush() {
  flush_zero();
  flush_raw();
  flush_copies(shrinking_);
  flush_copies(plain_);
  flush_frames();
  flush_deltas();
  flush_words();
  flush_same();
}

void PageSender::add_zero(vmm::PageRange range) {
  zero_.add(range);
  if (zero_.ranges.size() == wire::kMaxRanges) flush_zero();
}

void PageSender::add_data(vmm::PageIndex page, std::uint32_t sent) {
  const auto live = std::as_const(shared_.memory).pages({page, 1});
  const bool may_shrink = policy_.compress() && looks_compressible(live);
  // The first round sends most pages for the only time.
  const bool again =
      records_ && shared_.deltas && round_now_->number() > 1 && delta_policy_.pays(policy_.link());
  const bool hashed = records_ && shared_.duplicates && contents_.policy().pays(policy_.link());
  if (!may_shrink && !again && !hashed) {
    if (sent != 0) delta_policy_.passed_over(vmm::kPageSize);
    contents_.policy().passed_over(vmm::kPageSize);
    raw_.add(page);
    if (raw_.pages >= raw_limit_) flush_raw();
    return;
  }
  PageCopies& pages = may_shrink ? shrinking_ : plain_;
  const auto copy = pages.copy(live);
  if (again && add_delta(page, copy, sent)) return;
  if (hashed && add_same(page, copy)) return;
  pages.add(page);
  if (pages.pages == wire::kMaxLz4Pages) flush_copies(pages);
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
    PageCopies some;
    for (const vmm::PageRange& range : raw_.ranges) {
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
        if (some.pages == wire::kMaxLz4Pages) break;
        static_cast<void>(some.copy(std::as_const(shared_.memory).pages({page, 1})));
        some.add(page);
      }
    }
    probe(some.all());
  }
  header_.clear();
  const auto digests = digests_.of(shared_.memory, raw_.ranges);
  wire::put_page_header(header_, FrameType::pages_raw, raw_.ranges, digests.size() + raw_.bytes());
  parts_.assign(1, iovec{header_.data(), header_.size()});
  // An iovec does not tell that it is only read.
  if (!digests.empty()) parts_.push_back({const_cast<std::byte*>(digests.data()), digests.size()});
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

void PageSender::flush_copies(PageCopies& pages) {
  if (pages.pages == 0) return;
  const auto digests = digests_.of(shared_.memory, pages.ranges);
  const std::size_t head =
      wire::kHeaderBytes + pages.ranges.size() * wire::kRangeBytes + digests.size();
  const std::span<const std::byte> in = pages.all();
  std::size_t size = in.size();
  const BlockFormat format = policy_.format();
  double seconds = 0;
  const auto frame = frames_.place();
  if (&pages == &shrinking_) {
    const auto start = Clock::now();
    // Straight to its place in the frame, whose header follows when the size is known.
    size = packer_.pack(in, frame.subspan(head), format);
    seconds = seconds_since(start);
    if (policy_.comparison_due()) compare(in);
  } else if (!policy_.compress() && policy_.probe_due()) {
    probe(in);
  }
  const bool shrinks = size <= worth(in.size());
  if (!shrinks) size = in.size();
  header_.clear();
  const FrameType block =
      format == BlockFormat::zstd ? FrameType::pages_zstd : FrameType::pages_lz4;
  wire::put_page_header(header_, shrinks ? block : FrameType::pages_raw, pages.ranges,
                        digests.size() + size);
  std::ranges::copy(digests, std::back_inserter(header_));
  vmm::copy_bytes(header_, frame);
  if (!shrinks) vmm::copy_bytes(in, frame.subspan(head));
  frames_.add(head + size, {static_cast<double>(in.size()), static_cast<double>(size), seconds});
  (shrinks ? shared_.counters.compressed : shared_.counters.raw) += pages.pages;
  if (shrinks && format == BlockFormat::zstd) shared_.counters.zstd += pages.pages;
  pages.clear();
  if (frames_.full()) flush_frames();
}

void PageSender::flush_frames() {
  if (frames_.empty()) return;
  const auto start = Clock::now();
  const auto bytes = frames_.all();
  iovec part{bytes.data(), bytes.size()};
  write({&part, 1});
  const PackedFrames::Gathered& gathered = frames_.gathered();
  if (policy_.compress()) {
    policy_.sent_compressed(gathered.in, gathered.out, gathered.seconds, seconds_since(start));
  } else {
    policy_.sent_raw(gathered.out, seconds_since(start));
  }
  frames_.clear();
}

void PageSender::compare(std::span<const std::byte> pages) {
  policy_.compared(static_cast<double>(pages.size()), packer_.try_out(pages, BlockFormat::lz4),
                   packer_.try_out(pages, BlockFormat::zstd));
}

void PageSender::write(std::span<iovec> parts) {
  std::uint64_t bytes = 0;
  for (const iovec& part : parts) bytes += part.iov_len;
  shared_.limiter.acquire(bytes);
  stream_.write(parts);
  shared_.counters.wire_bytes += bytes;
}

}  // namespace migration
