#pragma once

#include <functional>
#include <span>
#include <vector>

#include "migration/policy/free_page_wait.hpp"
#include "vmm/memory/free_page_listener.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/os/mutex.hpp"

namespace migration {

/// The pages that a guest says are free while it is migrated. They may be left out of what is sent.
///
///   all of RAM is logged --> the guest is asked --> it names a page --> left out, its bit not
///   cleared --> the guest writes it: the log names it
///
/// A guest takes pages back without a word. So its word counts only for what it has not written
/// since it was asked, of which the log is the only witness: whoever takes a page out of the log
/// that is not sent at once tells it here.
class FreePages final : public vmm::FreePageListener {
 public:
  /// `touched`: the pages that ever were, when the guest is about to be asked. `heard` is called
  /// when it begins, when it has told all, and when it is too dear, once each however often the
  /// guest says so; any thread.
  FreePages(const vmm::GuestMemory& memory, vmm::PageSet touched, std::function<void()> heard);

  // Any thread.

  void begins() override;
  void free(std::span<const vmm::PageRange> pages) override;
  void told_all() override;

  /// The log had these, and has them no more.
  void written(const vmm::PageSet& pages);
  /// What may be left out of `range`, in order.
  [[nodiscard]] std::vector<vmm::PageRange> in(vmm::PageRange range) const;
  [[nodiscard]] FreePageWait::Heard so_far() const;
  /// What was ever touched, but for what the guest has written and not named since it was asked.
  [[nodiscard]] vmm::PageSet touched() const;

 private:
  void hear(bool FreePageWait::Heard::*what);
  [[nodiscard]] bool take(vmm::PageRange range);
  void add(vmm::PageRange range) FERRY_REQUIRES(mutex_);

  const vmm::GuestMemory& memory_;
  const std::function<void()> heard_;
  mutable vmm::Mutex mutex_;
  vmm::PageSet touched_ FERRY_GUARDED_BY(mutex_);
  vmm::PageSet free_ FERRY_GUARDED_BY(mutex_);
  vmm::PageSet written_ FERRY_GUARDED_BY(mutex_);
  FreePageWait::Heard so_far_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace migration
