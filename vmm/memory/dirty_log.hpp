#pragma once

#include <mutex>
#include <shared_mutex>
#include <vector>

#include "vmm/kvm/kvm_vm.hpp"
#include "vmm/memory/dirty_bitmap.hpp"
#include "vmm/memory/guest_memory.hpp"

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
  [[nodiscard]] DirtyBitmap harvest();

  /// Takes the set bits of `pages` within `range` out of the log; writes from now on are logged
  /// again. `range` starts at a multiple of 64 pages, and ends at one or at the end of RAM.
  /// Threads may clear different ranges at the same time, and one may harvest meanwhile.
  void clear(const DirtyBitmap& pages, PageRange range);
  /// The same with all bits of `range`.
  void clear_all(PageRange range);
  /// Takes `pages` within `range` out of the log, and adds to `touched` the pages of `range` that
  /// were ever touched: a page that is touched in between is in both. `pages` has all of `range`
  /// but for some that were touched. A range that nobody ever touched may stay in the log, where
  /// clearing takes as long as for one that is in use; `harvest` leaves out what still is untouched
  /// then.
  void clear_touched(const DirtyBitmap& pages, PageRange range, DirtyBitmap& touched);

 private:
  void set_logging(bool on);
  bool leave_untouched(PageRange range);
  void drop_untouched(DirtyBitmap& pages) const;

  const KvmVm& vm_;
  GuestMemory& memory_;
  bool manual_ = false;
  bool active_ = false;
  std::shared_mutex mutex_;  ///< shared: clears its own words; alone: harvests
  DirtyBitmap pending_;      ///< harvested and not yet cleared
  DirtyBitmap everything_;   ///< all bits set
  std::mutex leaving_;       ///< guards untouched_ among those that share mutex_
  /// Never cleared, as nobody had touched them then.
  std::vector<PageRange> untouched_;
};

}  // namespace vmm
