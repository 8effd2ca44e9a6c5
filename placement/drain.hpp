#pragma once

#include <utility>
#include <vector>

#include "placement/policy.hpp"

namespace placement {

/// Empties hosts, for their maintenance: each of their VMs goes to the fullest other host that has
/// room, and rather to one that keeps an image of it. No other VM moves.
class Drain final : public Policy {
 public:
  explicit Drain(std::vector<HostIndex> hosts) : hosts_(std::move(hosts)) {}
  [[nodiscard]] std::vector<HostIndex> place(const Fleet& fleet) const override;

 private:
  std::vector<HostIndex> hosts_;
};

}  // namespace placement
