#pragma once

#include "placement/policy.hpp"

namespace placement {

/// The paper's: VMs that do no heavy work share few hosts, and those that do have hosts of their
/// own ("Live virtual machine migration in cloud environment", Rani and Rani). Made better by what
/// a VMM knows:
///
/// - A VM moves when it is clearly of the other kind than its host, when its host is
///   overloaded, or when its going helps to switch a host off. Otherwise it stays.
/// - A host is emptied when what that saves within an hour, at all hosts together, is more than the
///   moves cost; the cheapest watt first, so that a host whose VMs have images elsewhere comes
///   early.
/// - VMs are packed by mean and variance: the peaks of many small ones seldom come together.
class IdleTogether final : public Policy {
 public:
  struct Settings {
    /// Per cent of its own CPU, on average, below which a VM on a host of active ones is idle, and
    /// above which one on a host of idle ones is active; between them it may be with either.
    double idle_below = 10;
    double active_above = 50;
    /// A host takes VMs until their mean and so many standard deviations fill it. It gives some
    /// away once it is overloaded, and not before: most peaks that threaten never come.
    double room = 1;
    double horizon_seconds = 3600;
  };

  IdleTogether() : IdleTogether(Settings{}) {}
  explicit IdleTogether(const Settings& settings) : settings_(settings) {}

  [[nodiscard]] std::vector<HostIndex> place(const Fleet& fleet) const override;

 private:
  Settings settings_;
};

}  // namespace placement
