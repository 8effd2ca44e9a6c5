#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "migration/base/latency_histogram.hpp"
#include "migration/net/stream.hpp"
#include "migration/policy/answer_choice.hpp"
#include "migration/postcopy/fault_watch.hpp"
#include "migration/postcopy/file_overlay.hpp"
#include "migration/wire/decode.hpp"
#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/userfault.hpp"
#include "vmm/os/thread.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration {

/// The destination of post-copy: RAM of which pages are missing. A page that is touched is asked
/// for on the fault connection, from a thread of its own; pages that come without being asked for
/// are installed by the channels' threads. A page appears whole or not at all, and never a second
/// time.
class PageFetcher {
 public:
  struct Callbacks {
    /// Every page is here; once. Whether RAM that is a file is that file again.
    std::function<void(bool settled)> complete;
    std::function<void(std::exception_ptr)> failed;  ///< the fault connection is lost
  };

  /// From now on whoever touches a page of `memory` that is not there waits for this object.
  /// `covered`: `memory` when it is an empty file; or none.
  /// `digests`: pages come with digests, and are checked. `timeout`: a page that was asked for and
  /// does not come for so long shows that the link is lost. std::system_error when userfaultfd is
  /// not permitted. Callbacks come from the fault thread.
  PageFetcher(vmm::GuestMemory& memory, std::shared_ptr<const vmm::Userfault> userfault,
              std::unique_ptr<FileOverlay> covered, bool digests, std::chrono::milliseconds timeout,
              Callbacks callbacks);
  ~PageFetcher();
  PageFetcher(const PageFetcher&) = delete;
  PageFetcher& operator=(const PageFetcher&) = delete;

  // The receiver's thread.
  /// These pages are missing: what is there of them is dropped, unless RAM is `untouched`, where
  /// looking for it would take time for nothing. Before the guest runs.
  void expect(const std::vector<vmm::PageRange>& pages, bool untouched = false);
  [[nodiscard]] vmm::PageSet expected() const { return expected_.snapshot(); }
  /// All has been told that is missing, be it nothing.
  void told_all();
  /// Takes requests to the source over `socket` from now on, those first that are still open.
  void connect(net::Socket socket);
  /// Forgets the connection; nothing that it brought is installed any more on return.
  void disconnect();
  /// The VM will not run here: who waits goes on, whatever it finds. Any thread.
  void abandon();

  // The channels' threads.
  void install(std::span<const vmm::PageRange> ranges, std::span<const std::byte> data,
               std::span<const std::uint64_t> digests);
  void install_zero(std::span<const vmm::PageRange> ranges);
  [[nodiscard]] bool install_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                                   std::span<std::byte> block,
                                   std::span<const std::uint64_t> digests);
  [[nodiscard]] std::optional<BlockReservation> reserve_block(
      vmm::PageIndex first, std::span<const vmm::PageRange> ranges);
  void install_reserved(BlockReservation& reservation, vmm::PageIndex first,
                        std::span<const vmm::PageRange> ranges,
                        std::span<const std::uint64_t> digests);
  [[nodiscard]] int busy_processor() const { return watch_.busy_processor(); }

  // Any thread.
  [[nodiscard]] bool digests() const { return digests_; }
  /// What comes needs room in the file that RAM is, and there is no other place for it.
  [[nodiscard]] bool fills_file() const { return !covered_ && memory_.file() >= 0; }
  [[nodiscard]] bool abandoned() const { return abandoned_; }
  [[nodiscard]] bool connected() const { return connected_; }
  /// Pages that are still to come. Not 0 before RAM is as any other.
  [[nodiscard]] std::uint64_t missing() const {
    return finished_ ? 0 : std::max<std::uint64_t>(left_, 1);
  }
  /// The source is not needed any more, be RAM as any other or not yet.
  [[nodiscard]] bool has_all() const { return left_ == 0; }
  [[nodiscard]] vmm::PageSet missing_pages() const { return missing_.snapshot(); }
  [[nodiscard]] LatencyHistogram latencies() const;

 private:
  using Clock = std::chrono::steady_clock;

  // The fault thread.
  void run();
  void take_faults();
  void faulted(vmm::PageIndex page);
  /// Of who touched a page: there is nothing to wait for, it is to be asked for, or has been.
  enum class Wait { none, first, again };
  Wait wait_for(vmm::PageIndex page);
  void ask(vmm::PageIndex page);
  void take_answers();
  /// An answer, or a page that the source guesses to be needed soon.
  void take_page(const wire::SinglePage& answer, bool early);
  void check_deadline();
  void fail(std::exception_ptr why);
  void finish();

  /// Runs `task` in the fault thread; the second one waits for it.
  void post(std::function<void()> task);
  void run_there(const std::function<void()>& task);

  void check_missing(vmm::PageRange range) const;
  void check_digest(vmm::PageIndex page, std::span<const std::byte> data,
                    std::uint64_t digest) const;
  void check(vmm::PageRange range, std::span<const std::byte> data,
             std::span<const std::uint64_t> digests) const;
  void check_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                   std::span<std::byte> block, std::span<const std::uint64_t> digests) const;
  /// Puts pages in place that are missing: they have landed then.
  void put(vmm::PageRange range, std::span<const std::byte> data);
  vmm::Installed install(vmm::PageRange range, std::span<const std::byte> data);
  void explain_full_store(const std::system_error& error) const;
  void give_zero(vmm::PageIndex page);
  void give_zeros();
  void flush(vmm::PageRange range);
  /// These pages are here, or known to be zero. Those of them that somebody waited for.
  std::vector<vmm::PageIndex> landed(vmm::PageRange range);

  vmm::GuestMemory& memory_;
  std::shared_ptr<const vmm::Userfault> userfault_;
  const std::unique_ptr<FileOverlay> covered_;
  const bool digests_;
  const std::chrono::milliseconds timeout_;
  Callbacks callbacks_;

  vmm::AtomicPageSet expected_;  ///< pages that were missing at first
  vmm::AtomicPageSet missing_;
  vmm::AtomicPageSet touched_;           ///< installed otherwise than as a huge page
  std::atomic<std::uint64_t> left_ = 0;  ///< pages in missing_
  std::atomic<bool> abandoned_ = false;
  std::atomic<bool> connected_ = false;
  std::atomic<bool> finished_ = false;  ///< nothing is missing, and RAM is as any other

  /// A page that somebody waits for.
  struct Waiting {
    vmm::PageIndex page = 0;
    Clock::time_point since;
    Clock::time_point asked;
  };
  mutable std::mutex mutex_;      ///< guards these two
  std::vector<Waiting> waiting_;  ///< few, as threads that wait are
  LatencyHistogram latencies_;

  /// Touched, and known to be zero: somebody waits for these. The fault thread's.
  std::vector<vmm::PageIndex> unserved_;

  std::mutex tasks_mutex_;  ///< guards tasks_
  std::vector<std::function<void()>> tasks_;
  vmm::UniqueFd wake_;  ///< an eventfd: there are tasks

  // The fault thread's.
  std::unique_ptr<net::Stream> stream_;
  wire::Bytes request_;
  std::vector<std::byte> in_;
  std::size_t in_used_ = 0;  ///< bytes of in_: the beginning of a frame
  AnswerChoice choice_;
  std::vector<std::byte> page_;
  FaultWatch watch_;
  bool leaving_ = false;
  vmm::Thread thread_;
};

}  // namespace migration
