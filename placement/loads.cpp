#include "placement/loads.hpp"

#include <algorithm>

namespace placement {

namespace {

/// Sums of what was added and taken away again are not exact.
constexpr double kRounding = 1e-9;

}  // namespace

Loads::Loads(const Fleet& fleet) : fleet_(fleet), loads_(fleet.hosts.size()) {
  needs_.reserve(fleet.vms.size());
  for (const Vm& vm : fleet.vms) needs_.push_back(demand_of(vm).needs());
  for (VmIndex vm = 0; vm < fleet.vms.size(); ++vm) add(vm, fleet.vms[vm].host);
}

Load Loads::room(HostIndex host) const {
  const Host& there = fleet_.hosts[host];
  const Load& load = loads_[host];
  return {.memory = there.memory - std::min(there.memory, load.memory),
          .cpu = std::min(there.core, there.cpu * (1 + kRounding) - load.cpu)};
}

bool Loads::fits(VmIndex vm, HostIndex host) const {
  const Load left = room(host);
  return loads_[host].memory <= fleet_.hosts[host].memory && fleet_.vms[vm].memory <= left.memory &&
         needs_[vm] <= left.cpu;
}

void Loads::add(VmIndex vm, HostIndex host) {
  Load& load = loads_[host];
  load.memory += fleet_.vms[vm].memory;
  load.cpu += needs_[vm];
  ++load.vms;
}

void Loads::remove(VmIndex vm, HostIndex host) {
  Load& load = loads_[host];
  load.memory -= fleet_.vms[vm].memory;
  load.cpu = --load.vms == 0 ? 0 : std::max(0.0, load.cpu - needs_[vm]);
}

}  // namespace placement
