#pragma once

#include <cstdint>
#include <vector>

#include "migration/model/scenario.hpp"
#include "migration/model/writer.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration::model {

/// A guest that only writes pages, and the log of that, with the rules of vmm::DirtyLog. In place
/// of bytes a page has a version: 0 where nobody ever touched it, then 1, and one more with each
/// write.
class Guest {
 public:
  Guest(const GuestShape& shape, std::uint64_t seed);

  /// Goes on to `seconds` after its start, slowed by `throttle` per cent.
  void run_until(double seconds, unsigned throttle);

  [[nodiscard]] std::uint64_t pages() const { return versions_.size(); }
  [[nodiscard]] std::uint32_t version(vmm::PageIndex page) const { return versions_[page]; }
  [[nodiscard]] bool zero(vmm::PageIndex page) const { return zero_[page] && versions_[page] == 1; }
  /// Pages that were ever touched.
  [[nodiscard]] std::uint64_t used() const { return touched_.count(); }

  /// All that was written since it was last cleared; at first, everything.
  [[nodiscard]] const vmm::PageSet& log() const { return log_; }
  void clear(const vmm::PageSet& pages, vmm::PageRange range);
  /// Clears all of the range, and adds to `touched` what of it was ever touched.
  void clear_touched(vmm::PageRange range, vmm::PageSet& touched);

 private:
  void write(vmm::PageIndex page);

  Writer writer_;
  std::vector<std::uint32_t> versions_;
  std::vector<bool> zero_;
  vmm::PageSet touched_;
  vmm::PageSet log_;
  double due_ = 0;   ///< writes by now, were it not slowed
  double owed_ = 0;  ///< the part of a write that is not done yet
};

}  // namespace migration::model
