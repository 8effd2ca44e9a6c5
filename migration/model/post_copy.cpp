#include "migration/model/post_copy.hpp"

#include "migration/policy/push_chunk.hpp"
#include "migration/policy/push_order.hpp"
#include "vmm/memory/atomic_page_set.hpp"

namespace migration::model {

namespace {

/// So many faults during one chunk are many.
constexpr std::uint64_t kMany = 4;
/// For each run of pages that were never touched.
constexpr double kRangeBytes = 8;

class Pushing {
 public:
  Pushing(const Scenario& scenario, Copying& copying, const vmm::PageSet& missing)
      : scenario_(scenario),
        copying_(copying),
        unsent_(missing),
        order_(scenario.prepaging, missing.pages()) {}

  PostCopyCounts run() {
    Guest& guest = copying_.guest();
    skip_untouched();
    guest.watch_touches();
    while (unsent_.first_at_or_after(0)) {
      const bool busy = serve_faults() >= kMany;
      const auto next = order_.next(unsent_, push_chunk(copying_.rate(), busy));
      if (next) {
        push(*next);
      } else if (unsent_.first_at_or_after(0)) {
        break;  // nothing is pushed: the rest comes when the guest touches it, if ever
      }
    }
    return counts_;
  }

 private:
  /// They are told by their numbers alone.
  void skip_untouched() {
    const Guest& guest = copying_.guest();
    std::uint64_t runs = 0;
    for (const vmm::PageRange& range : unsent_.snapshot().ranges()) {
      bool before = false;
      for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
        const bool untouched = guest.version(page) == 0;
        if (untouched) unsent_.test_and_clear(page);
        if (untouched && !before) ++runs;
        before = untouched;
      }
    }
    copying_.send_bytes(static_cast<double>(runs) * kRangeBytes);
  }

  void push(vmm::PageRange range) {
    std::vector<vmm::PageRange> taken;
    unsent_.extract(range, taken);
    for (const vmm::PageRange& run : taken) {
      copying_.send(run);
      counts_.pushed += run.count;
    }
  }

  std::uint64_t serve_faults() {
    std::uint64_t faults = 0;
    for (const vmm::PageIndex page : copying_.guest().take_touched()) {
      if (!unsent_.test_and_clear(page)) continue;
      ++faults;
      order_.faulted(page);
      copying_.send({page, 1});
      const double wait = scenario_.hosts.fault_seconds + 2 * scenario_.link.latency_seconds +
                          copying_.guest().page_bytes(page) / copying_.rate();
      copying_.waits(wait);
      counts_.waited_seconds += wait;
    }
    counts_.demand += faults;
    return faults;
  }

  const Scenario& scenario_;
  Copying& copying_;
  vmm::AtomicPageSet unsent_;
  PushOrder order_;
  PostCopyCounts counts_;
};

}  // namespace

PostCopyCounts bring_missing(const Scenario& scenario, Copying& copying,
                             const vmm::PageSet& missing) {
  return Pushing(scenario, copying, missing).run();
}

}  // namespace migration::model
