#pragma once

#include <cstdint>
#include <vector>

#include "vmm/memory/guest_address.hpp"

namespace migration::model {

/// Which pages go as their difference from what was sent before: by the rules of DeltaCache, with
/// the bytes left out.
class Bases {
 public:
  /// None does where there is no room.
  explicit Bases(std::uint64_t room) : slots_(room) {}

  /// The page goes in that round, from 1 on: whether it has a base. It is one itself then, as far
  /// as there is room, but for what goes in the first round.
  bool send(vmm::PageIndex page, std::uint32_t round) {
    if (slots_.empty() || round < 2) return false;
    Slot& slot = slots_[page % slots_.size()];
    const bool known = slot.round != 0 && slot.page == page;
    const bool taken = slot.round != 0 && !known && slot.round + 1 >= round;
    if (!taken) slot = {page, round};
    return known;
  }

 private:
  struct Slot {
    vmm::PageIndex page = 0;
    std::uint32_t round = 0;  ///< in which that went last; 0: none has
  };
  std::vector<Slot> slots_;
};

}  // namespace migration::model
