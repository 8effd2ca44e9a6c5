#pragma once

#include "placement/policy.hpp"

namespace placement {

/// Every VM goes to the first host that has room, those that need most CPU first. It minds neither
/// watts nor what moves cost.
class FirstFit final : public Policy {
 public:
  [[nodiscard]] std::vector<HostIndex> place(const Fleet& fleet) const override;
};

}  // namespace placement
