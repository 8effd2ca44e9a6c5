#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "migration/net/stream.hpp"
#include "migration/pages/active_channels.hpp"
#include "migration/pages/block_packer.hpp"
#include "migration/pages/delta_cache.hpp"
#include "migration/pages/frame_digests.hpp"
#include "migration/pages/packed_frames.hpp"
#include "migration/pages/page_batch.hpp"
#include "migration/pages/rate_limiter.hpp"
#include "migration/pages/round.hpp"
#include "migration/pages/round_slot.hpp"
#include "migration/pages/sent_contents.hpp"
#include "migration/pages/sent_rounds.hpp"
#include "migration/pages/work_watch.hpp"
#include "migration/policy/compression_policy.hpp"
#include "migration/policy/delta_policy.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// What the channels of one migration have sent, together. Written by their threads.
struct PageCounters {
  std::atomic<std::uint64_t> zero = 0, raw = 0, compressed = 0, delta = 0, same = 0;  ///< pages
  std::atomic<std::uint64_t> zstd = 0;  ///< of the compressed pages
  std::atomic<std::uint64_t> wire_bytes = 0;
  std::atomic<std::uint64_t> delta_saved = 0, same_saved = 0;  ///< bytes: pages less what went

  [[nodiscard]] std::uint64_t data_pages() const { return raw + compressed + delta + same; }
  [[nodiscard]] std::uint64_t pages() const { return zero + data_pages(); }
};

/// One channel of the source: a thread that takes chunks of the round in progress, classifies their
/// pages (zero, delta, raw, compressed) and writes them to its connection. Channels share a round
/// by taking its chunks in turn.
class PageSender {
 public:
  /// What all channels of a migration share; outlives them.
  struct Shared {
    vmm::GuestMemory& memory;
    RateLimiter& limiter;
    PageCounters& counters;
    Compression compression;
    ActiveChannels& channels;
    std::chrono::milliseconds timeout;  ///< a peer that takes no byte for so long is lost
    SentRounds* sent = nullptr;  ///< with either of the next two, while rounds build on others
    /// Pages that are sent again go as deltas where that pays.
    DeltaCache* deltas = nullptr;
    /// Pages whose content was sent go as a reference to it where that pays, and those that repeat
    /// a word as the word.
    bool duplicates = false;
    bool zstd = false;  ///< the peer knows Zstandard
  };
  /// Called from the thread when a round is on the wire (null) or the channel failed.
  using Done = std::function<void(std::exception_ptr)>;

  /// The channel of that index.
  PageSender(unsigned index, net::Socket socket, wire::Bytes greeting, Shared& shared, Done done);
  /// Interrupts the channel and joins its thread.
  ~PageSender();
  PageSender(const PageSender&) = delete;
  PageSender& operator=(const PageSender&) = delete;

  void start(std::shared_ptr<Round> round) { next_round_.put(std::move(round)); }

 private:
  void run();
  void send_round(Round& round, WorkWatch& watch);
  /// Nullopt when the round is handed out. Waits while the others do without this channel.
  [[nodiscard]] std::optional<Chunk> next_chunk(Round& round, WorkWatch& watch);
  void take_up(const Chunk& chunk);
  void add_zero(vmm::PageRange range);
  /// `sent`: the round in which it went last; 0: none.
  void add_data(vmm::PageIndex page, std::uint32_t sent);
  /// This round is in the record; the one before it of this page.
  std::uint32_t record(vmm::PageIndex page);
  void flush();
  void flush_zero();
  void flush_raw();
  void flush_copies(PageCopies& pages);
  /// Writes the frames that flush_copies() gathered.
  void flush_frames();
  void probe(std::span<const std::byte> pages) {
    policy_.probed(static_cast<double>(pages.size()), packer_.try_out(pages, BlockFormat::lz4));
  }
  void compare(std::span<const std::byte> pages);
  void write(std::span<iovec> parts);

  // page_sender_less.cpp
  /// Whether the page goes as its difference from what was sent in round `sent`. It is kept for the
  /// next time.
  [[nodiscard]] bool add_delta(vmm::PageIndex page, std::span<const std::byte> copy,
                               std::uint32_t sent);
  /// Whether the page goes as a reference to another one. If not, its content is on its way.
  [[nodiscard]] bool add_same(vmm::PageIndex page, std::span<const std::byte> copy);
  void add_word(vmm::PageIndex page, std::uint64_t word);
  /// The pages of the chunk that share their content go so; the others are left. Pages that nobody
  /// writes.
  [[nodiscard]] std::vector<vmm::PageRange> add_alike(const std::vector<vmm::PageRange>& pages);
  void flush_deltas();
  void flush_same();
  void flush_words();
  /// `content`: what all of them hold, as a page or as the word that it repeats.
  void write_alike(std::span<const vmm::PageRange> ranges, std::span<const std::byte> content);

  const unsigned index_;
  net::Stream stream_;
  wire::Bytes greeting_;
  Shared& shared_;
  Done done_;
  CompressionPolicy policy_;
  DeltaPolicy delta_policy_;
  SentContents contents_;
  BlockPacker packer_;
  PackedFrames frames_;
  FrameDigests digests_;

  Round* round_now_ = nullptr;
  bool records_ = false;  ///< this round, in shared_.sent
  PageBatch zero_, raw_;
  std::uint64_t raw_limit_ = 0;  ///< pages of a raw frame
  PageCopies shrinking_;         ///< that may shrink
  PageCopies plain_;             ///< that go as they are
  DescribedPages deltas_;
  DescribedPages same_;  ///< and what they are like
  WordPages words_;
  wire::Bytes header_;
  std::vector<iovec> parts_;

  RoundSlot next_round_;
  vmm::Thread thread_;
};

}  // namespace migration
