#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "placement/fleet.hpp"

namespace placement {

/// What VMs take of one host.
struct Load {
  std::uint64_t memory = 0;
  double cpu = 0;
  std::size_t vms = 0;
};

/// What VMs take of each host, while they are moved about. A VM that moves takes its part of both
/// hosts: it is added there before it is removed here.
class Loads {
 public:
  /// With every VM where it is.
  explicit Loads(const Fleet& fleet);

  /// Whether the host has memory and CPU for one VM more.
  [[nodiscard]] bool fits(VmIndex vm, HostIndex host) const;
  void add(VmIndex vm, HostIndex host);
  void remove(VmIndex vm, HostIndex host);

  [[nodiscard]] const Load& at(HostIndex host) const { return loads_[host]; }
  /// What no VM takes, of which one more may take all.
  [[nodiscard]] Load room(HostIndex host) const;
  /// What a VM takes of the CPU.
  [[nodiscard]] double needs(VmIndex vm) const { return needs_[vm]; }

 private:
  const Fleet& fleet_;
  std::vector<double> needs_;
  std::vector<Load> loads_;
};

}  // namespace placement
