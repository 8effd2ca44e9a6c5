#include "placement/order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "placement/cost.hpp"
#include "placement/loads.hpp"
#include "placement/policy.hpp"

namespace placement {

namespace {

/// What one direction of a host's link carries in a step.
struct Traffic {
  std::size_t moves = 0;
  double most_dirty = 0;  ///< bytes per second, of those that have to converge
  double most_bytes = 0;
};

class Ordering {
 public:
  Ordering(const Fleet& fleet, std::span<const HostIndex> targets)
      : fleet_(fleet), targets_(targets), loads_(fleet), parked_(fleet.vms.size(), false) {
    for (VmIndex vm = 0; vm < fleet.vms.size(); ++vm) {
      const HostIndex from = fleet.vms[vm].host;
      if (targets[vm] != from) waiting_.push_back({vm, from, targets[vm]});
    }
    // Those that take most go first: they are hardest to find room for.
    std::ranges::stable_sort(waiting_, [&fleet](const Leg& a, const Leg& b) {
      return fleet.vms[a.vm].memory > fleet.vms[b.vm].memory;
    });
  }

  Order run() {
    while (!waiting_.empty() && (take_step() || park_one())) continue;
    leave_out_detours();
    name_stuck();
    return std::move(order_);
  }

 private:
  bool take_step() {
    std::vector<Leg> step;
    share_anew();
    std::erase_if(waiting_, [&](const Leg& leg) {
      if (!loads_.fits(leg.vm, leg.to) || !shares_links(leg)) return false;
      loads_.add(leg.vm, leg.to);
      step.push_back(leg);
      return true;
    });
    return end_step(std::move(step));
  }

  void share_anew() {
    in_.assign(fleet_.hosts.size(), {});
    out_.assign(fleet_.hosts.size(), {});
  }

  bool shares_links(const Leg& leg) {
    const Vm& vm = fleet_.vms[leg.vm];
    const double here = fleet_.hosts[leg.from].link;
    const double there = fleet_.hosts[leg.to].link;
    const bool converges = mode_for(vm, std::min(here, there)) == migration::Mode::pre_copy;
    const double dirty = converges ? dirty_rate(vm) : 0;
    const Traffic out = with(out_[leg.from], dirty, static_cast<double>(vm.used));
    const Traffic in = with(in_[leg.to], dirty, static_cast<double>(vm.used));
    if (!may(out, here) || !may(in, there)) return false;
    out_[leg.from] = out;
    in_[leg.to] = in;
    return true;
  }

  static Traffic with(const Traffic& traffic, double dirty, double bytes) {
    return {traffic.moves + 1, std::max(traffic.most_dirty, dirty),
            std::max(traffic.most_bytes, bytes)};
  }

  static bool may(const Traffic& traffic, double link) {
    const auto moves = static_cast<double>(traffic.moves);
    return traffic.moves == 1 || (moves * traffic.most_dirty < link &&
                                  (moves - 1) * traffic.most_bytes <= kSetUpSeconds * link);
  }

  bool end_step(std::vector<Leg> step) {
    if (step.empty()) return false;
    for (const Leg& leg : step) loads_.remove(leg.vm, leg.from);
    order_.steps.push_back(std::move(step));
    return true;
  }

  /// Of those in whose place others wait to be, the one that costs least to move twice: to where it
  /// is in nobody's way.
  bool park_one() {
    std::vector<bool> wanted(fleet_.hosts.size(), false);
    for (const Leg& leg : waiting_) wanted[leg.to] = true;
    Leg* cheapest = nullptr;
    std::optional<HostIndex> place;
    for (Leg& leg : waiting_) {
      if (parked_[leg.vm] || !wanted[leg.from]) continue;
      if (cheapest != nullptr && fleet_.vms[leg.vm].used >= fleet_.vms[cheapest->vm].used) continue;
      if (const auto found = place_to_wait(leg, wanted)) {
        cheapest = &leg;
        place = found;
      }
    }
    if (cheapest == nullptr) return false;
    parked_[cheapest->vm] = true;
    loads_.add(cheapest->vm, *place);
    return end_step({{cheapest->vm, std::exchange(cheapest->from, *place), *place}});
  }

  /// Rather a host that is on, and rather one that nobody waits for.
  [[nodiscard]] std::optional<HostIndex> place_to_wait(const Leg& leg,
                                                       const std::vector<bool>& wanted) const {
    std::optional<HostIndex> found;
    const auto worse = [&](HostIndex host) {
      return 2 * wanted[host] + (loads_.at(host).vms == 0);
    };
    for (HostIndex host = 0; host < fleet_.hosts.size(); ++host) {
      if (host == leg.from || host == leg.to || !loads_.fits(leg.vm, host)) continue;
      if (!found || worse(host) < worse(*found)) found = host;
    }
    return found;
  }

  /// Some went to a third host for nothing: all that came of it is possible without.
  void leave_out_detours() {
    for (std::size_t step = order_.steps.size(); step-- > 0;) {
      const Leg& leg = order_.steps[step].front();
      if (leg.to == targets_[leg.vm]) continue;
      auto direct = order_.steps;
      direct.erase(direct.begin() + static_cast<std::ptrdiff_t>(step));
      for (auto& later : std::span(direct).subspan(step)) {
        const auto next = std::ranges::find(later, leg.vm, &Leg::vm);
        if (next != later.end()) next->from = leg.from;
      }
      if (is_possible(direct)) order_.steps = std::move(direct);
    }
  }

  bool is_possible(const std::vector<std::vector<Leg>>& steps) {
    Loads loads(fleet_);
    for (const auto& step : steps) {
      share_anew();
      for (const Leg& leg : step) {
        if (!loads.fits(leg.vm, leg.to) || !shares_links(leg)) return false;
        loads.add(leg.vm, leg.to);
      }
      for (const Leg& leg : step) loads.remove(leg.vm, leg.from);
    }
    return true;
  }

  /// Those that are not at their targets in the end.
  void name_stuck() {
    std::vector<HostIndex> places = places_of(fleet_);
    for (const auto& step : order_.steps) {
      for (const Leg& leg : step) places[leg.vm] = leg.to;
    }
    Loads wanted(fleet_);
    for (VmIndex vm = 0; vm < places.size(); ++vm) {
      wanted.remove(vm, fleet_.vms[vm].host);
      wanted.add(vm, targets_[vm]);
    }
    for (VmIndex vm = 0; vm < places.size(); ++vm) {
      if (places[vm] == targets_[vm]) continue;
      wanted.remove(vm, targets_[vm]);
      order_.stuck.push_back({vm, places[vm], targets_[vm], why_stuck(vm, wanted)});
      wanted.add(vm, targets_[vm]);
    }
  }

  [[nodiscard]] std::string why_stuck(VmIndex vm, const Loads& without_it) const {
    const std::string& target = fleet_.hosts[targets_[vm]].name;
    if (!without_it.fits(vm, targets_[vm])) {
      return fmt::format(
          "{} has no room for it beside what else is to be there, since for CPU "
          "counts the latest sample, or the mean if that is more",
          target);
    }
    return fmt::format(
        "there is no room for it at {} until others have left, these wait for "
        "others in turn, and no third host has room for one of them meanwhile",
        target);
  }

  const Fleet& fleet_;
  std::span<const HostIndex> targets_;
  Loads loads_;
  std::vector<Leg> waiting_;
  std::vector<bool> parked_;
  std::vector<Traffic> in_;
  std::vector<Traffic> out_;
  Order order_;
};

}  // namespace

Order order_moves(const Fleet& fleet, std::span<const HostIndex> targets) {
  return Ordering(fleet, targets).run();
}

}  // namespace placement
