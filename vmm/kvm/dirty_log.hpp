#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/kvm/kvm_vm.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/os/mutex.hpp"

namespace vmm {

/// The one place that knows which pages changed: KVM's log of what vCPUs wrote, OR'd with what
/// devices wrote from user space. Works with KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (a page is protected
/// again only by `clear`) and without it (KVM_GET_DIRTY_LOG protects at once).
///
/// The rule that makes it exact: a page's bit is cleared *before* the page is read, never after.
class DirtyLog {
 public:
  DirtyLog(const KvmVm& vm, GuestMemory& memory);
  ~DirtyLog();
  DirtyLog(const DirtyLog&) = delete;
  DirtyLog& operator=(const DirtyLog&) = delete;

  /// Starts logging. Everything counts as written at first: `clear_touched` of all ranges misses
  /// nothing that was ever written.
  void start();
  void stop();
  [[nodiscard]] bool active() const { return active_; }

  /// All pages written since each was last cleared. They stay in the log until cleared.
  [[nodiscard]] PageSet read();

  /// Takes the set bits of `pages` within `range` out of the log; writes from now on are logged
  /// again. `range` starts at a multiple of 64 pages, and ends at one or at the end of RAM.
  /// Threads may clear ranges in different blocks (PageSet) at the same time, and one may read
  /// meanwhile.
  void clear(const PageSet& pages, PageRange range);
  /// The same with all bits of `range`.
  void clear_all(PageRange range);
  /// Takes all of `range` out of the log, and adds to `touched` the pages of it that were ever
  /// touched: one that is touched in between is in both. Costs next to nothing where nobody ever
  /// touched a page, if the kernel tells so quickly.
  void clear_touched(PageRange range, PageSet& touched);

 private:
  void set_logging(bool on);
  template <typename WordsOf>
  void protect(PageRange range, WordsOf words_of) const;
  void read_slot(std::uint32_t number, std::span<const PageRange> but_these) FERRY_REQUIRES(mutex_);
  [[nodiscard]] bool skip_untouched(PageRange range) FERRY_REQUIRES_SHARED(mutex_);
  void retire_untouched(PageRange range, PageSet& touched) FERRY_REQUIRES(mutex_);

  const KvmVm& vm_;
  GuestMemory& memory_;
  const std::vector<RamSlot> slots_;  ///< by their numbers
  bool manual_ = false;
  bool active_ = false;
  SharedMutex mutex_;                         ///< shared: clears its own blocks; alone: reads
  PageSet pending_ FERRY_GUARDED_BY(mutex_);  ///< read and not yet cleared
  /// As KVM tells it of one slot: there before the guest stops.
  std::vector<std::uint64_t> read_ FERRY_GUARDED_BY(mutex_);
  Mutex leaving_;  ///< among those that share mutex_
  /// KVM's log has every page of these, for they were not cleared: clearing takes KVM as long as
  /// for pages that are in use. Nobody had touched one when `read` last looked.
  std::vector<PageRange> untouched_ FERRY_GUARDED_BY(leaving_);
};

}  // namespace vmm
