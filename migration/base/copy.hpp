#pragma once

#include <cstdint>

#include "vmm/memory/guest_address.hpp"

namespace migration {

/// Of RAM within the destination: pages [from, from + count) to [to, to + count). The two do not
/// overlap.
struct Copy {
  vmm::PageIndex to = 0;
  vmm::PageIndex from = 0;
  std::uint64_t count = 1;

  bool operator==(const Copy&) const = default;
};

}  // namespace migration
