#pragma once

#include "placement/policy.hpp"

namespace placement {

/// Empties a host, for its maintenance: each of its VMs goes to the fullest host that has room, and
/// rather to one that keeps an image of it. No other VM moves.
class Drain final : public Policy {
 public:
  explicit Drain(HostIndex host) : host_(host) {}
  [[nodiscard]] std::vector<HostIndex> place(const Fleet& fleet) const override;

 private:
  HostIndex host_;
};

}  // namespace placement
