#include "placement/power_aware.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace placement {

double extrapolate(std::span<const double> samples, std::size_t ahead, bool late_ones_weigh_more) {
  const auto last = static_cast<double>(samples.size() - 1);
  double weights = 0;
  double at = 0;
  double value = 0;
  double squares = 0;
  double products = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto x = static_cast<double>(i);
    // The farthest sample has a weight too.
    const double far = (last - x) / (last + 1);
    const double weight = late_ones_weigh_more ? std::pow(1 - std::pow(far, 3), 3) : 1;
    weights += weight;
    at += weight * x;
    value += weight * samples[i];
    squares += weight * x * x;
    products += weight * x * samples[i];
  }
  const double spread = weights * squares - at * at;
  if (spread <= 0) return samples.back();
  const double slope = (weights * products - at * value) / spread;
  return (value - slope * at) / weights + slope * (last + static_cast<double>(ahead));
}

namespace {

/// What VMs do to a host.
struct Sum {
  std::uint64_t memory = 0;
  double requested = 0;
  double predicted = 0;
  std::size_t vms = 0;
  std::size_t unpredicted = 0;  ///< of these, those of which samples are missing
};

class Placing {
 public:
  Placing(const Fleet& fleet, const PowerAware::Settings& settings)
      : fleet_(fleet),
        settings_(settings),
        places_(places_of(fleet)),
        sums_(fleet.hosts.size()),
        at_(fleet.hosts.size()) {
    for (const Vm& vm : fleet.vms) parts_.push_back(part_of(vm));
    for (VmIndex vm = 0; vm < places_.size(); ++vm) {
      at_[places_[vm]].push_back(vm);
      add(vm, places_[vm]);
    }
    for (HostIndex host = 0; host < sums_.size(); ++host) {
      before_.push_back(sums_[host].requested);
      was_on_.push_back(settings.careless ? before_[host] > 0 : sums_[host].vms > 0);
      closed_.push_back(overloaded(host, sums_[host]));
    }
  }

  std::vector<HostIndex> run(std::vector<VmIndex>& moved_on) {
    relieve();
    empty();
    moved_on = std::move(moved_on_);
    return std::move(places_);
  }

 private:
  /// A VM's part of a prediction: since a regression is linear in its samples, that of a host is
  /// the sum of those of its VMs.
  [[nodiscard]] Sum part_of(const Vm& vm) const {
    Sum part{.memory = vm.memory, .vms = 1};
    const Demand demand = demand_of(vm);
    part.requested = settings_.careless ? demand.latest : demand.needs();
    if (vm.cpu.size() < settings_.samples) {
      part.unpredicted = 1;
      return part;
    }
    const auto recent = std::span(vm.cpu).last(settings_.samples);
    part.predicted = extrapolate(recent, 1, settings_.late_ones_weigh_more) / 100 * vm.cpu_size;
    return part;
  }

  void add(VmIndex vm, HostIndex host) { sums_[host] = with(sums_[host], parts_[vm]); }
  void remove(VmIndex vm, HostIndex host) {
    Sum& sum = sums_[host];
    const Sum& part = parts_[vm];
    sum.memory -= part.memory;
    sum.requested -= part.requested;
    sum.predicted -= part.predicted;
    sum.unpredicted -= part.unpredicted;
    if (--sum.vms == 0) sum = {};
  }
  static Sum with(const Sum& sum, const Sum& part) {
    return {sum.memory + part.memory, sum.requested + part.requested,
            sum.predicted + part.predicted, sum.vms + part.vms, sum.unpredicted + part.unpredicted};
  }

  [[nodiscard]] bool overloaded(HostIndex host, const Sum& sum) const {
    const double cpu = fleet_.hosts[host].cpu;
    if (sum.unpredicted > 0) return sum.requested > settings_.threshold * cpu;
    return sum.vms > 0 && settings_.safety * sum.predicted >= cpu;
  }

  void relieve() {
    std::vector<VmIndex> leaving;
    for (HostIndex host = 0; host < sums_.size(); ++host) {
      if (!closed_[host]) continue;
      std::vector<VmIndex> here = at_[host];
      std::erase_if(here, [&](VmIndex vm) { return fleet_.vms[vm].pinned; });
      std::ranges::stable_sort(here, {}, [&](VmIndex vm) { return fleet_.vms[vm].used; });
      for (const VmIndex vm : here) {
        if (!overloaded(host, sums_[host])) break;
        remove(vm, host);
        leaving.push_back(vm);
      }
    }
    sort_by_need(leaving);
    for (const VmIndex vm : leaving) {
      const HostIndex from = places_[vm];
      const HostIndex to = find_host(vm, true).value_or(from);
      add(vm, to);
      if (to != from) note(vm, from, to);
    }
  }

  void empty() {
    std::vector<HostIndex> order;
    for (HostIndex host = 0; host < sums_.size(); ++host) {
      if (!closed_[host] && was_on_[host]) order.push_back(host);
    }
    std::vector<double> use;
    for (HostIndex host = 0; host < sums_.size(); ++host) {
      use.push_back((settings_.careless ? before_[host] : sums_[host].requested) /
                    fleet_.hosts[host].cpu);
    }
    std::ranges::stable_sort(order, {}, [&](HostIndex host) { return use[host]; });
    std::vector<bool> filled(sums_.size(), false);
    for (const HostIndex host : order) {
      if (filled[host] || at_[host].empty()) continue;
      closed_[host] = true;
      for (const HostIndex target : move_all(host)) filled[target] = true;
    }
  }

  /// All VMs of a host, or none: where to.
  std::vector<HostIndex> move_all(HostIndex host) {
    std::vector<VmIndex> here = at_[host];
    sort_by_need(here);
    std::vector<HostIndex> targets;
    for (const VmIndex vm : here) {
      const auto to = fleet_.vms[vm].pinned ? std::nullopt : find_host(vm, false);
      if (!to) {
        for (std::size_t i = 0; i < targets.size(); ++i) remove(here[i], targets[i]);
        return {};
      }
      add(vm, *to);
      targets.push_back(*to);
    }
    for (std::size_t i = 0; i < targets.size(); ++i) {
      remove(here[i], host);
      note(here[i], host, targets[i]);
    }
    return targets;
  }

  void note(VmIndex vm, HostIndex from, HostIndex to) {
    if (from != fleet_.vms[vm].host) moved_on_.push_back(vm);
    std::erase(at_[from], vm);
    at_[to].push_back(vm);
    places_[vm] = to;
  }

  void sort_by_need(std::vector<VmIndex>& vms) const {
    std::ranges::stable_sort(vms, std::greater<>{},
                             [&](VmIndex vm) { return parts_[vm].requested; });
  }

  /// Where the VM costs least power.
  [[nodiscard]] std::optional<HostIndex> find_host(VmIndex vm, bool may_switch_on) const {
    std::optional<HostIndex> best;
    double least = std::numeric_limits<double>::infinity();
    const Sum& part = parts_[vm];
    for (HostIndex host = 0; host < sums_.size(); ++host) {
      if (closed_[host] || (!may_switch_on && !was_on_[host])) continue;
      const Sum after = with(sums_[host], part);
      if (!has_room(host, part, after)) continue;
      const double cost = added_watts(host, after);
      if (cost >= least) continue;
      least = cost;
      best = host;
    }
    return best;
  }

  [[nodiscard]] bool has_room(HostIndex host, const Sum& part, const Sum& after) const {
    const Host& size = fleet_.hosts[host];
    if (after.memory > size.memory || part.requested > size.core || after.requested > size.cpu) {
      return false;
    }
    if (settings_.careless ? sums_[host].requested <= 0 : after.vms == 1) return true;
    return !overloaded(host, after);
  }

  [[nodiscard]] double added_watts(HostIndex host, const Sum& after) const {
    const Host& size = fleet_.hosts[host];
    if (settings_.careless) {
      return watts(size, after.requested) - watts(size, before_[host]);
    }
    const double before = sums_[host].vms > 0 ? watts(size, sums_[host].requested) : 0;
    return watts(size, after.requested) - before;
  }

  const Fleet& fleet_;
  const PowerAware::Settings& settings_;
  std::vector<HostIndex> places_;
  std::vector<Sum> parts_;
  std::vector<Sum> sums_;
  std::vector<std::vector<VmIndex>> at_;
  std::vector<double> before_;  ///< of CPU that was asked for, before anything moved
  std::vector<bool> was_on_;    ///< by then
  std::vector<VmIndex> moved_on_;
  std::vector<bool> closed_;  ///< overloaded, or to be emptied: nothing goes there
};

}  // namespace

std::vector<HostIndex> PowerAware::place(const Fleet& fleet) const {
  std::vector<VmIndex> moved_on;
  return place(fleet, moved_on);
}

std::vector<HostIndex> PowerAware::place(const Fleet& fleet, std::vector<VmIndex>& moved_on) const {
  return Placing(fleet, settings_).run(moved_on);
}

}  // namespace placement
