#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "migration/base/latency_histogram.hpp"
#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/os/mutex.hpp"

namespace migration {

/// The pages of RAM that are still to come, and who waits for one of them. Each page is marked as
/// installed once, and whoever waits for it then is found. Any thread.
class MissingPages {
 public:
  using Clock = std::chrono::steady_clock;

  /// Of RAM of so many pages, none.
  explicit MissingPages(std::uint64_t pages);

  /// These are missing from now on. Those that were not so before. One thread at a time, before
  /// the guest runs.
  std::vector<vmm::PageRange> add(std::span<const vmm::PageRange> pages);

  [[nodiscard]] std::uint64_t count() const { return left_; }
  [[nodiscard]] bool test(vmm::PageIndex page) const { return missing_.test(page); }
  [[nodiscard]] std::uint64_t count(vmm::PageRange range) const { return missing_.count(range); }
  [[nodiscard]] vmm::PageSet snapshot() const { return missing_.snapshot(); }
  /// All that were ever missing.
  [[nodiscard]] vmm::PageSet expected() const { return expected_.snapshot(); }
  [[nodiscard]] std::uint64_t count_expected(vmm::PageRange range) const {
    return expected_.count(range);
  }

  struct Arrival {
    std::vector<vmm::PageIndex> awaited;  ///< pages that somebody waited for
    bool last = false;                    ///< no page is missing any more; told once
  };
  /// These pages are here, or known to be zero.
  Arrival mark_installed(vmm::PageRange range);

  /// Of who touched a page: there is nothing to wait for, it is to be asked for, or has been.
  enum class Wait { none, first, again };
  Wait wait_for(vmm::PageIndex page);
  /// When the page was last asked for; none when nobody waits for it.
  [[nodiscard]] std::optional<Clock::time_point> asked(vmm::PageIndex page) const;
  /// The pages that somebody waits for: they are asked for now.
  [[nodiscard]] std::vector<vmm::PageIndex> ask_again();
  /// Whether one of them was asked for longer ago.
  [[nodiscard]] bool waits_longer_than(std::chrono::milliseconds time) const;
  /// Nobody waits any more. The pages that somebody waited for.
  [[nodiscard]] std::vector<vmm::PageIndex> forget_waiting();
  /// How long they waited whose pages were installed, in microseconds.
  [[nodiscard]] LatencyHistogram latencies() const;

 private:
  /// A page that somebody waits for.
  struct Waiting {
    vmm::PageIndex page = 0;
    Clock::time_point since;
    Clock::time_point asked;
  };

  vmm::AtomicPageSet expected_;
  vmm::AtomicPageSet missing_;
  std::atomic<std::uint64_t> left_ = 0;  ///< pages in missing_

  mutable vmm::Mutex mutex_;
  std::vector<Waiting> waiting_ FERRY_GUARDED_BY(mutex_);  ///< few, as threads that wait are
  LatencyHistogram latencies_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace migration
