#pragma once

#include <chrono>
#include <cstdint>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// Which pages of RAM were ever touched, for people: found out step by step, as it takes a while
/// and whoever looks has more urgent things to do.
class UsedPages {
 public:
  explicit UsedPages(std::uint64_t pages) : used_(pages) {}

  /// Looks on for about so long. Costs nothing once all of RAM was looked at.
  void look(const vmm::GuestMemory& memory, std::chrono::steady_clock::duration at_most);
  /// How many they are. `resident`, the pages of this process, tells of those not looked at yet.
  [[nodiscard]] std::uint64_t count(std::uint64_t resident) const;

 private:
  vmm::PageSet used_;
  vmm::PageIndex next_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace migration
