#include "placement/first_fit.hpp"

#include <algorithm>
#include <numeric>

#include "placement/loads.hpp"

namespace placement {

std::vector<HostIndex> FirstFit::place(const Fleet& fleet) const {
  Loads loads(fleet);
  std::vector<HostIndex> places = places_of(fleet);
  std::vector<VmIndex> order(fleet.vms.size());
  std::iota(order.begin(), order.end(), VmIndex{0});
  std::ranges::stable_sort(order, std::greater<>{}, [&](VmIndex vm) { return loads.needs(vm); });
  for (const VmIndex vm : order) {
    if (fleet.vms[vm].pinned) continue;
    loads.remove(vm, places[vm]);
    for (HostIndex host = 0; host < fleet.hosts.size(); ++host) {
      if (!loads.fits(vm, host)) continue;
      places[vm] = host;
      break;
    }
    loads.add(vm, places[vm]);
  }
  return places;
}

}  // namespace placement
