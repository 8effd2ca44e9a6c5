#pragma once

#include <cstdint>
#include <vector>

#include "migration/base/copy.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration {

struct CopyPlan {
  std::vector<Copy> copies;              ///< to be made in this order, each as a whole
  std::vector<vmm::PageIndex> left_out;  ///< of `to`: have to be sent
};

/// Puts copies of single pages in an order in which no page is overwritten before all copies from
/// it are made, and joins neighbours to runs. `wanted`: copies of one page each; no page is copied
/// to twice, or to itself.
///
/// The copies are made before any page is sent. So only a page that is itself copied to has to be
/// read in time; one that stays as it is, or will be sent, can be read at any time.
///
/// Topological sorting by counting readers: A. B. Kahn 1962, "Topological sorting of large
/// networks". Where pages would have to change places (a cycle: each waits for the next), one page
/// of each cycle is left out, which opens it.
[[nodiscard]] CopyPlan plan_copies(std::vector<Copy> wanted);

}  // namespace migration
