#include "placement/policy.hpp"

namespace placement {

std::vector<HostIndex> places_of(const Fleet& fleet) {
  std::vector<HostIndex> places;
  places.reserve(fleet.vms.size());
  for (const Vm& vm : fleet.vms) places.push_back(vm.host);
  return places;
}

}  // namespace placement
