#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "migration/net/stream.hpp"
#include "migration/pages/page_sender.hpp"
#include "migration/pages/round.hpp"
#include "migration/policy/push_order.hpp"
#include "migration/postcopy/fault_watch.hpp"
#include "migration/postcopy/recent_faults.hpp"
#include "migration/postcopy/single_page_frames.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace migration {

/// The source of post-copy: RAM that does not change any more, and the set of its pages that the
/// destination lacks. Channels push them by rounds of it, and pages that a vCPU waits for are
/// answered at once on the fault connection. Either way a page is taken out of the set first, so it
/// is sent once.
class PageServer {
 public:
  struct Counts {
    std::uint64_t demand = 0;  ///< pages that were asked for, but for those on their way
    std::uint64_t pushed = 0;
  };

  /// `missing`: the pages that the destination lacks.
  PageServer(PageSender::Shared& shared, vmm::AtomicPageSet missing, Prepaging prepaging,
             bool digests);
  /// Hangs up.
  ~PageServer();
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  /// Answers requests on the fault connection, in a thread of its own, until that fails or
  /// `hang_up`. `failed` is called from that thread, in either case.
  void serve(net::Socket socket, std::function<void(std::exception_ptr)> failed);
  /// Sends these pages at once, unasked, unless nothing is to be pushed. While `serve` goes on.
  void send_now(std::span<const vmm::PageIndex> pages);
  /// Ends the connection, and the rounds that are under way.
  void hang_up();

  /// After the link was lost and came back: what the destination lacks now. No round and no
  /// `serve` may be under way.
  void reset(const vmm::PageSet& missing);
  /// Pages that go a second time, since they were lost on the way.
  [[nodiscard]] std::uint64_t sent_again() const { return sent_again_; }

  // Any thread.
  void set(Prepaging prepaging);
  [[nodiscard]] Counts counts() const;
  /// The rest, in the order of the moment, as a round for the channels. Outlived by this server.
  [[nodiscard]] std::shared_ptr<Round> round(std::uint32_t number);
  /// Bytes over fault connections: sent, received.
  [[nodiscard]] std::uint64_t bytes_sent() const { return sent_bytes_; }
  [[nodiscard]] std::uint64_t bytes_received() const { return received_bytes_; }

 private:
  class PushRound;

  std::optional<Chunk> next_chunk();
  std::optional<Chunk> next_absent();
  [[nodiscard]] std::uint64_t chunk_pages() const FERRY_REQUIRES(mutex_);
  /// Until the connection fails. A thread that `follows` stays near to where requests arrive.
  void answer_all(bool follows);
  void answer(const wire::PageRequest& request);
  void write_frames() FERRY_REQUIRES(write_mutex_);

  PageSender::Shared& shared_;
  const bool digests_;
  vmm::AtomicPageSet missing_;
  std::atomic<vmm::PageIndex> looked_at_ = 0;  ///< for pages that were never touched
  vmm::PageSet populated_;                     ///< as far as was looked
  std::atomic<std::uint64_t> demand_ = 0, pushed_ = 0;
  std::uint64_t sent_again_ = 0;
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;

  RecentFaults faults_;
  FaultWatch watch_;
  std::atomic<Prepaging> prepaging_;  ///< changed under mutex_

  vmm::Mutex mutex_;
  vmm::Condition changed_;
  PushOrder order_ FERRY_GUARDED_BY(mutex_);
  bool interrupted_ FERRY_GUARDED_BY(mutex_) = false;
  /// Of the round that is under way.
  std::chrono::steady_clock::time_point start_ FERRY_GUARDED_BY(mutex_);
  std::uint64_t bytes_at_start_ FERRY_GUARDED_BY(mutex_) = 0;  ///< sent before it

  std::unique_ptr<net::Stream> stream_;
  vmm::Mutex write_mutex_;  ///< for writing to stream_, too
  SinglePageFrames frames_ FERRY_GUARDED_BY(write_mutex_);
  bool greedy_peer_ = false;  ///< it asked for more pages than there are; the thread's
  vmm::Thread thread_;
};

}  // namespace migration
