#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "migration/net/stream.hpp"
#include "migration/pages/rate_limiter.hpp"
#include "migration/pages/round.hpp"
#include "migration/policy/compression_policy.hpp"
#include "migration/wire/encode.hpp"

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
  void run();
  void send_round(Round& round);
  void take_up(const Round& round, vmm::PageRange chunk);
  void add_zero(vmm::PageRange range);
  void add_data(vmm::PageRange range);
  void flush_zero();
  void flush_data();
  void flush_raw();
  void flush_compressed();
  /// Compresses the first pages of the batch, one block of them, into compressed_; its size.
  std::size_t compress();
  void write(std::span<iovec> parts);

  net::Stream stream_;
  wire::Bytes greeting_;
  Shared& shared_;
  Done done_;
  CompressionPolicy policy_;

  // The batch that is being gathered.
  std::vector<vmm::PageRange> zero_;
  std::vector<vmm::PageRange> data_;
  std::uint64_t data_pages_ = 0;
  wire::Bytes header_;
  std::vector<iovec> parts_;
  std::vector<std::byte> copy_;  ///< private copy of the pages to compress
  std::vector<std::byte> compressed_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Round> next_round_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace migration
