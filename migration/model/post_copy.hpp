#pragma once

#include <cstdint>

#include "migration/model/copying.hpp"

namespace migration::model {

struct PostCopyCounts {
  std::uint64_t demand = 0;  ///< pages that the guest waited for
  std::uint64_t pushed = 0;
  double waited_seconds = 0;
};

/// Brings the pages that are missing to the guest, which runs there, as PageServer does: in the
/// order of the live PushOrder, and at once what it writes. What it only reads is not known here,
/// so that it waits for more pages in truth; but each page travels once, either way.
PostCopyCounts bring_missing(const Scenario& scenario, Copying& copying,
                             const vmm::PageSet& missing);

}  // namespace migration::model
