#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vmm/memory/page_set.hpp"

namespace migration {

/// Which pages the guest is likely to write again soon: those that it wrote in at least K of the
/// last N observations. An observation is what was dirtied in a round of pre-copy (Johnson 2013)
/// or in one of several equal periods (Zhong 2014).
///
/// A page that is hot is not worth keeping at the source: it will have changed when the VM returns.
/// One that is wrongly taken for hot has to be sent then; one that is wrongly not taken for hot
/// costs a page of memory meanwhile. So the defaults lean to precision, with an N that a short
/// pre-copy reaches. With a writer whose pages' popularity falls as 1 / rank, that dirties 10 % of
/// RAM in a period (tests/migration/model/hot_pages_simulation_test.cpp prints more):
///
/// | K of N | hot, of RAM | precision | recall | dirtied in the next 16 periods |
/// |---|---|---|---|---|
/// | 1 of 1 | 10.1 % | 0.33 | 0.33 | 0.83 |
/// | 2 of 4 | 8.1 % | 0.45 | 0.36 | 0.94 |
/// | 3 of 4 | 3.5 % | 0.68 | 0.24 | 0.99 |
/// | 4 of 4 | 1.7 % | 0.86 | 0.14 | 1.00 |
/// | 6 of 8 | 2.5 % | 0.81 | 0.20 | 1.00 |
///
/// Precision and recall are of "hot now: dirtied in the next period"; the last column is what
/// counts for a VM that stays away for longer.
class HotPages {
 public:
  static constexpr unsigned kDefaultK = 3;
  static constexpr unsigned kDefaultN = 4;

  /// 1 <= k <= n.
  explicit HotPages(std::uint64_t pages, unsigned k = kDefaultK, unsigned n = kDefaultN);

  /// What was dirtied in the newest period: a bitmap of `pages` pages. The oldest of more than N
  /// observations is forgotten.
  void observe(vmm::PageSet dirtied);
  /// With fewer than N observations: at least K of those that there are; so none with fewer than K.
  [[nodiscard]] vmm::PageSet hot() const;
  /// That `hot` is judged by: at most N.
  [[nodiscard]] unsigned observations() const { return static_cast<unsigned>(window_.size()); }

 private:
  std::uint64_t pages_;
  unsigned k_;
  unsigned n_;
  std::vector<vmm::PageSet> window_;  ///< in no order, once it is full
  std::size_t oldest_ = 0;            ///< to be replaced next
};

}  // namespace migration
