#pragma once

#include <cstdint>
#include <utility>

#include "migration/policy/hot_pages.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// What has become of each page of RAM in a migration, as the source keeps account of it: a pure
/// value. A page may have to travel though the dirty log does not name it.
class PageAccount {
 public:
  explicit PageAccount(std::uint64_t pages)
      : sent_(pages),
        must_send_(pages),
        reusable_(pages),
        copied_(pages),
        free_(pages),
        history_(pages) {}

  /// What the comparison with an image at the destination found: pages that it has as they are,
  /// pages that it makes from others of its own, and pages that must travel.
  void compared(vmm::PageSet same, vmm::PageSet copied, vmm::PageSet must_send);
  /// It was done.
  [[nodiscard]] bool compared() const { return compared_; }

  /// Before anything was sent: the guest does without `free`, and these must travel.
  void without(vmm::PageSet free, vmm::PageSet must_send);
  /// Not all that was ever touched has to travel, but what is told here and by the log.
  [[nodiscard]] bool selective() const { return selective_; }
  /// A round has left these out, as the guest does without them.
  void left_out(const vmm::PageSet& pages) { free_ |= pages; }

  /// These must travel, though the log need not name them.
  void must_send(const vmm::PageSet& pages) { must_send_ |= pages; }
  /// What must travel now: `dirty`, of the log, and those.
  [[nodiscard]] vmm::PageSet to_send(vmm::PageSet dirty) const;
  /// The same; a round takes it, and it need not travel any more.
  [[nodiscard]] vmm::PageSet take_to_send(vmm::PageSet dirty);
  [[nodiscard]] vmm::PageSet take_to_send() {
    return take_to_send(vmm::PageSet(must_send_.pages()));
  }

  /// A round has sent these.
  void handed_out(const vmm::PageSet& pages);
  /// The destination lacks these from the handover on.
  void missing(const vmm::PageSet& pages);
  /// What the guest wrote in a round, or in one of several equal periods.
  void written(vmm::PageSet pages) { history_.observe(std::move(pages)); }

  /// Pages that were sent at least once.
  [[nodiscard]] std::uint64_t sent() const { return sent_.count(); }
  /// How many of `pages` were.
  [[nodiscard]] std::uint64_t sent_of(vmm::PageSet pages) const;
  /// Pages that were sent, or that must be.
  [[nodiscard]] std::uint64_t travelling() const { return to_send(sent_).count(); }
  [[nodiscard]] std::uint64_t reused() const { return reusable_.count(); }
  [[nodiscard]] std::uint64_t duplicates() const { return copied_.count(); }
  /// What was never sent, and need not be: the destination has zeros there.
  [[nodiscard]] const vmm::PageSet& free() const { return free_; }
  /// What the guest writes again and again.
  [[nodiscard]] vmm::PageSet hot() const { return history_.hot(); }

 private:
  vmm::PageSet sent_;
  vmm::PageSet must_send_;
  vmm::PageSet reusable_;
  vmm::PageSet copied_;
  vmm::PageSet free_;
  HotPages history_;
  bool compared_ = false;
  bool selective_ = false;
};

}  // namespace migration
