#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "migration/base/page_hasher.hpp"
#include "migration/net/stream.hpp"
#include "migration/pages/content_table.hpp"
#include "migration/pages/delta_cache.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/pages/rate_limiter.hpp"
#include "migration/pages/round.hpp"
#include "migration/pages/sent_rounds.hpp"
#include "migration/policy/compression_policy.hpp"
#include "migration/policy/delta_policy.hpp"
#include "migration/policy/duplicate_policy.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/os/mutex.hpp"
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
    unsigned channels;
    std::chrono::milliseconds timeout;  ///< a peer that takes no byte for so long is lost
    SentRounds* sent = nullptr;         ///< with either of the next two
    /// Pages that are sent again go as deltas where that pays.
    DeltaCache* deltas = nullptr;
    /// Pages whose content was sent go as a reference to it where that pays, and those that repeat
    /// a word as the word.
    bool duplicates = false;
    bool zstd = false;  ///< the peer knows Zstandard
  };
  /// Called from the thread when a round is on the wire (null) or the channel failed.
  using Done = std::function<void(std::exception_ptr)>;

  PageSender(net::Socket socket, wire::Bytes greeting, Shared& shared, Done done);
  /// Interrupts the channel and joins its thread.
  ~PageSender();
  PageSender(const PageSender&) = delete;
  PageSender& operator=(const PageSender&) = delete;

  void start(std::shared_ptr<Round> round);

 private:
  /// Compressed frames are written together, so many bytes at a time: each write wakes the
  /// receiver.
  static constexpr std::size_t kWriteFrames = 128 << 10;

  /// Pages that are being gathered for one frame.
  struct Batch {
    std::vector<vmm::PageRange> ranges;
    std::uint64_t pages = 0;

    void add(vmm::PageIndex page) { add(vmm::PageRange{page, 1}); }
    void add(vmm::PageRange range);
    [[nodiscard]] std::uint64_t bytes() const { return pages * vmm::kPageSize; }
    void clear();
  };
  /// Such pages in a private copy, which is what is sent: the guest may be writing them.
  struct Copies : Batch {
    std::vector<std::byte> bytes;

    /// A copy of one page more, in its place behind the others; it is theirs once it is added.
    std::span<const std::byte> copy(std::span<const std::byte> page);
    [[nodiscard]] std::span<const std::byte> all() const {
      return std::span(bytes).first(Batch::bytes());
    }
  };

  void run();
  void send_round(Round& round);
  void take_up(const Chunk& chunk);
  void add_zero(vmm::PageRange range);
  /// `sent`: the round in which it went last; 0: none.
  void add_data(vmm::PageIndex page, std::uint32_t sent);
  /// This round is in the record; the one before it of this page.
  std::uint32_t record(vmm::PageIndex page);
  void flush();
  void flush_zero();
  void flush_raw();
  void flush_copies(Copies& pages);
  /// Writes the frames that flush_copies() gathered.
  void flush_frames();
  /// Compresses them. The size of the block.
  std::size_t compress(std::span<const std::byte> pages, std::span<std::byte> into,
                       BlockFormat format);
  void reserve_frames();
  void probe(std::span<const std::byte> pages);
  void compare(std::span<const std::byte> pages);
  /// What becomes of them, and how fast where nothing disturbs it.
  CompressionPolicy::Packed try_out(std::span<const std::byte> pages, BlockFormat format);
  /// The digests that go with a page frame: none unless the round wants them.
  [[nodiscard]] std::span<std::byte> digests(std::span<const vmm::PageRange> ranges);
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
  [[nodiscard]] PageHash hash_of(std::span<const std::byte> page);
  /// `content`: what all of them hold, as a page or as the word that it repeats.
  void write_alike(std::span<const vmm::PageRange> ranges, std::span<const std::byte> content);

  net::Stream stream_;
  wire::Bytes greeting_;
  Shared& shared_;
  Done done_;
  CompressionPolicy policy_;
  DeltaPolicy delta_policy_;
  DuplicatePolicy duplicate_policy_;
  /// Made where they are first needed. Nobody knows the key, so nobody makes two pages that differ
  /// and hash alike.
  std::optional<PageHasher> hasher_;
  std::optional<ContentTable> contents_;  ///< of pages that went on this channel

  Round* round_now_ = nullptr;
  std::uint32_t round_ = 0;
  bool records_ = false;  ///< this round, in shared_.sent
  Batch zero_, raw_;
  Copies shrinking_;  ///< that may shrink
  Copies plain_;      ///< that go as they are
  bool with_digests_ = false;
  std::uint64_t raw_limit_ = 0;  ///< pages of a raw frame
  std::vector<std::uint64_t> digests_;
  wire::Bytes header_;
  std::vector<iovec> parts_;
  Batch same_;
  wire::Bytes same_pages_;  ///< what same_ are like
  Batch words_;
  std::uint64_t word_ = 0;  ///< that the pages of words_ repeat
  Batch deltas_;
  wire::Bytes delta_blocks_;  ///< of deltas_
  PageCodec codec_;
  std::vector<std::byte> trial_;   ///< a block that does not go
  std::vector<std::byte> frames_;  ///< compressed, on their way into one write
  std::size_t frames_used_ = 0;    ///< bytes of it
  /// What went into frames_, for the policy.
  struct Gathered {
    double in = 0, out = 0, seconds = 0;
  } gathered_;

  vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::shared_ptr<Round> next_round_ FERRY_GUARDED_BY(mutex_);
  bool stopping_ FERRY_GUARDED_BY(mutex_) = false;
  vmm::Thread thread_;
};

}  // namespace migration
