#include "migration/postcopy/page_server.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/policy/arrival_watch.hpp"
#include "migration/policy/push_chunk.hpp"
#include "vmm/os/scheduling.hpp"

namespace migration {

using wire::FrameType;

namespace {

/// So much has to be sent before the link's rate is taken for known.
constexpr double kRateKnownAfter = 4 << 20;
/// The thread that serves requests looks once in so many where they arrive.
constexpr std::uint64_t kRequestsPerLook = 16;
/// How many pages are looked up at a time to find those that were never touched: 256 MiB.
constexpr std::uint64_t kLookUpPages = 65536;

}  // namespace

class PageServer::PushRound final : public Round {
 public:
  PushRound(std::uint32_t number, PageServer& server) : Round(number), server_(server) {}
  std::optional<Chunk> next_chunk() override {
    vmm::keep_off(server_.watch_.busy_processor());
    return server_.next_chunk();
  }
  bool urgent() const override { return true; }
  bool digests() const override { return server_.digests_; }

 private:
  PageServer& server_;
};

PageServer::PageServer(PageSender::Shared& shared, vmm::AtomicPageSet missing, Prepaging prepaging,
                       bool digests)
    : shared_(shared),
      digests_(digests),
      missing_(std::move(missing)),
      populated_(shared.memory.page_count()),
      prepaging_(prepaging),
      order_(prepaging, shared.memory.page_count()),
      frames_(shared.memory, shared.counters, digests) {}

std::shared_ptr<Round> PageServer::round(std::uint32_t number) {
  {
    const vmm::Lock lock(mutex_);
    interrupted_ = false;
    start_ = std::chrono::steady_clock::now();
    bytes_at_start_ = shared_.counters.wire_bytes;
  }
  return std::make_shared<PushRound>(number, *this);
}

PageServer::~PageServer() { hang_up(); }

void PageServer::hang_up() {
  {
    const vmm::Lock lock(mutex_);
    interrupted_ = true;
  }
  changed_.notify_all();
  if (!thread_.joinable()) return;
  stream_->interrupt();
  thread_.join();
  stream_ = nullptr;
}

void PageServer::serve(net::Socket socket, std::function<void(std::exception_ptr)> failed) {
  stream_ = std::make_unique<net::Stream>(std::move(socket), shared_.timeout);
  {
    const vmm::Lock lock(write_mutex_);
    frames_.clear();  // what a lost link has left
  }
  thread_ = vmm::Thread(
      vmm::ThreadRole::faults, [this] { answer_all(!greedy_peer_ && vmm::wake_at_once()); },
      std::move(failed));
}

void PageServer::set(Prepaging prepaging) {
  {
    const vmm::Lock lock(mutex_);
    prepaging_ = prepaging;
    order_.set(prepaging);
  }
  changed_.notify_all();
}

void PageServer::reset(const vmm::PageSet& missing) {
  vmm::PageSet again = missing;
  again -= missing_.snapshot();
  sent_again_ += again.count();
  missing_ = vmm::AtomicPageSet(missing);
  looked_at_ = 0;
  populated_.clear();
}

PageServer::Counts PageServer::counts() const { return {demand_, pushed_}; }

/// Many pages were never touched, in long stretches: they go first, as they cost next to nothing.
std::optional<Chunk> PageServer::next_absent() {
  const std::uint64_t pages = missing_.page_count();
  while (looked_at_ < pages) {
    const vmm::PageIndex first = looked_at_.fetch_add(kLookUpPages);
    if (first >= pages) break;
    const vmm::PageRange range{first, std::min(kLookUpPages, pages - first)};
    if (missing_.count(range) == 0) continue;
    // Channels look at different ranges, in whole blocks of the set.
    shared_.memory.add_populated(range, populated_);
    Chunk chunk;
    vmm::PageIndex from = range.first;
    for (const vmm::PageRange& touched : populated_.ranges(range)) {
      missing_.extract({from, touched.first - from}, chunk.absent);
      from = touched.end();
    }
    missing_.extract({from, range.end() - from}, chunk.absent);
    if (!chunk.absent.empty()) return chunk;
  }
  return std::nullopt;
}

std::optional<Chunk> PageServer::next_chunk() {
  for (;;) {
    vmm::PageRange range;
    {
      vmm::Lock lock(mutex_);
      changed_.wait(lock, [this]() FERRY_REQUIRES(mutex_) {
        return interrupted_ || prepaging_ != Prepaging::none || !missing_.first_at_or_after(0);
      });
      if (interrupted_) return std::nullopt;
    }
    if (auto absent = next_absent()) return absent;
    {
      const vmm::Lock lock(mutex_);
      for (const vmm::PageIndex page : faults_.take_new()) order_.faulted(page);
      const auto next = order_.next(missing_, chunk_pages());
      if (!next && !missing_.first_at_or_after(0)) {
        // A channel may have gone to sleep while the last page was about to be taken.
        changed_.notify_all();
        return std::nullopt;
      }
      if (!next) continue;  // the order is none by now
      range = *next;
    }
    Chunk chunk;
    missing_.extract(range, chunk.data);
    if (chunk.data.empty()) continue;
    for (const vmm::PageRange& run : chunk.data) pushed_ += run.count;
    return chunk;
  }
}

std::uint64_t PageServer::chunk_pages() const {
  auto rate = static_cast<double>(shared_.limiter.rate());
  if (rate == 0) {
    const auto sent = static_cast<double>(shared_.counters.wire_bytes - bytes_at_start_);
    if (sent >= kRateKnownAfter) rate = sent / seconds_since(start_);
  }
  return push_chunk(rate, watch_.many());
}

void PageServer::answer_all(bool follows) {
  constexpr std::size_t kRequest = wire::kHeaderBytes + 8;
  std::array<std::byte, kRequest> bytes{};
  ArrivalWatch watch;
  for (std::uint64_t before = 0;; ++before) {
    iovec part{bytes.data(), bytes.size()};
    stream_->read({&part, 1});
    received_bytes_ += bytes.size();
    const auto frame = std::span<const std::byte, kRequest>(bytes);
    const wire::FrameHeader header = wire::decode_header(frame.first<wire::kHeaderBytes>());
    if (header.type != FrameType::request || header.payload != kRequest - wire::kHeaderBytes) {
      throw wire::ProtocolError("the destination sent something else than a page request");
    }
    // A thread that goes before others is kept busy by nobody for ever.
    if (before == missing_.page_count()) {
      greedy_peer_ = true;
      throw wire::ProtocolError("the destination asks for more pages than there are");
    }
    answer(wire::decode_request(frame.subspan<wire::kHeaderBytes>(), missing_.page_count()));
    if (!follows || before % kRequestsPerLook != 0) continue;
    const int processor = stream_->arrival_processor();
    if (watch.should_follow(processor, ::sched_getcpu())) vmm::move_to(processor);
  }
}

void PageServer::answer(const wire::PageRequest& request) {
  // A page that was sent is on its way.
  if (missing_.test_and_clear(request.page)) {
    ++demand_;
    const vmm::Lock lock(write_mutex_);
    const bool compressed = shared_.compression == Compression::lz4 ||
                            shared_.compression == Compression::zstd ||
                            (shared_.compression == Compression::automatic && request.compressed);
    frames_.add(FrameType::page, request.page, compressed);
    write_frames();
  }
  // Within one host the destination may get the processor, and with it the answer, only when this
  // thread waits again. So the rest is for those that push.
  faults_.add(request.page);
  watch_.served();
  if (prepaging_ != Prepaging::none) return;
  // Rounds wait until the last page was asked for. (One that saw this page missing, and that
  // nothing is to be pushed, did so before the page was taken, which is a full barrier: so that is
  // seen here.)
  { const vmm::Lock lock(mutex_); }
  changed_.notify_all();
}

void PageServer::send_now(std::span<const vmm::PageIndex> pages) {
  {
    const vmm::Lock lock(mutex_);
    if (prepaging_ == Prepaging::none) return;
  }
  const vmm::Lock lock(write_mutex_);
  for (const vmm::PageIndex page : pages) {
    if (!missing_.test_and_clear(page)) continue;
    ++pushed_;
    frames_.add(FrameType::early, page, false);
  }
  if (!frames_.empty()) write_frames();
}

void PageServer::write_frames() { sent_bytes_ += frames_.write(*stream_); }

}  // namespace migration
