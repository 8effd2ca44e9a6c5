#include "placement/drain.hpp"

#include <algorithm>
#include <optional>

#include "placement/loads.hpp"

namespace placement {

namespace {

/// Of two hosts with room: an image there, then one that is on, then the fuller one.
struct Merit {
  bool keeps_image = false;
  bool is_on = false;
  double full = 0;
  auto operator<=>(const Merit&) const = default;
};

Merit merit(const Fleet& fleet, const Loads& loads, VmIndex vm, HostIndex host) {
  const Load& load = loads.at(host);
  return {std::ranges::find(fleet.vms[vm].kept_at, host) != fleet.vms[vm].kept_at.end(),
          load.vms > 0, load.cpu / fleet.hosts[host].cpu};
}

std::optional<HostIndex> best_place(const Fleet& fleet, const Loads& loads, VmIndex vm,
                                    const std::vector<bool>& drained) {
  std::optional<HostIndex> best;
  Merit most;
  for (HostIndex host = 0; host < fleet.hosts.size(); ++host) {
    if (drained[host] || !loads.fits(vm, host)) continue;
    const Merit here = merit(fleet, loads, vm, host);
    if (best && !(most < here)) continue;
    best = host;
    most = here;
  }
  return best;
}

}  // namespace

std::vector<HostIndex> Drain::place(const Fleet& fleet) const {
  Loads loads(fleet);
  std::vector<HostIndex> places = places_of(fleet);
  std::vector<bool> drained(fleet.hosts.size(), false);
  for (const HostIndex host : hosts_) drained[host] = true;
  std::vector<VmIndex> leaving;
  for (VmIndex vm = 0; vm < fleet.vms.size(); ++vm) {
    if (drained[places[vm]] && !fleet.vms[vm].pinned) leaving.push_back(vm);
  }
  std::ranges::stable_sort(leaving, std::greater<>{},
                           [&](VmIndex vm) { return fleet.vms[vm].memory; });
  for (const VmIndex vm : leaving) {
    const auto place = best_place(fleet, loads, vm, drained);
    if (!place) continue;
    loads.remove(vm, places[vm]);
    loads.add(vm, *place);
    places[vm] = *place;
  }
  return places;
}

}  // namespace placement
