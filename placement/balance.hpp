#pragma once

#include "placement/policy.hpp"

namespace placement {

/// Spreads load: from the host with the most to the one with the least, the VM that evens out most
/// for each byte that moves, until a move gains little.
class Balance final : public Policy {
 public:
  [[nodiscard]] std::vector<HostIndex> place(const Fleet& fleet) const override;
};

}  // namespace placement
