#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "migration/net/stream.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/pages/rate_limiter.hpp"
#include "migration/pages/round.hpp"
#include "migration/policy/compression_policy.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// What the channels of one migration have sent, together. Written by their threads.
struct PageCounters {
  std::atomic<std::uint64_t> zero = 0, raw = 0, compressed = 0;  ///< pages
  std::atomic<std::uint64_t> wire_bytes = 0;
};

/// One channel of the source: a thread that takes chunks of the round in progress, classifies their
/// pages (zero, raw, compressed) and writes them to its connection. Channels share a round by
/// taking its chunks in turn.
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
  /// Pages that are being gathered for one frame.
  struct Batch {
    std::vector<vmm::PageRange> ranges;
    std::uint64_t pages = 0;

    void add(vmm::PageIndex page) { add(vmm::PageRange{page, 1}); }
    void add(vmm::PageRange range);
    [[nodiscard]] std::uint64_t bytes() const { return pages * vmm::kPageSize; }
    void clear();
  };

  void run();
  void send_round(Round& round);
  void take_up(const Chunk& chunk);
  void add_zero(vmm::PageRange range);
  void add_data(vmm::PageIndex page);
  void flush();
  void flush_zero();
  void flush_raw();
  void flush_compressed();
  /// Writes the frames that flush_compressed() gathered.
  void flush_frames();
  /// Compresses the first pages of the batch, one block of them, into frames_ from `at` on.
  struct Block {
    std::size_t in = 0, out = 0;  ///< bytes
  };
  Block compress(const Batch& batch, std::size_t at);
  /// The digests that go with a page frame: none unless the round wants them.
  [[nodiscard]] std::span<std::byte> digests(std::span<const vmm::PageRange> ranges);
  void write(std::span<iovec> parts);

  net::Stream stream_;
  wire::Bytes greeting_;
  Shared& shared_;
  Done done_;
  CompressionPolicy policy_;

  Batch zero_, raw_, lz4_;
  bool with_digests_ = false;
  std::uint64_t raw_limit_ = 0;  ///< pages of a raw frame
  std::vector<std::uint64_t> digests_;
  wire::Bytes header_;
  std::vector<iovec> parts_;
  std::vector<std::byte> copy_;  ///< private copy of the pages to compress
  PageCodec codec_;
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
