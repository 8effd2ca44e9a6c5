#include "placement/order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <unordered_set>
#include <utility>

#include "placement/cost.hpp"
#include "placement/loads.hpp"
#include "placement/policy.hpp"

namespace placement {

namespace {

using Steps = std::vector<std::vector<Leg>>;

/// What one direction of a host's link carries in a step.
struct Traffic {
  std::size_t moves = 0;
  double most_dirty = 0;  ///< bytes per second, of those that have to converge
  double most_bytes = 0;
};

class Ordering {
 public:
  /// Of those for which there is room, the first of `moving` go first. `in_turn`: nothing goes
  /// where an earlier one waits to go, as long as anything else can.
  Ordering(const Fleet& fleet, std::span<const HostIndex> targets, std::span<const VmIndex> moving,
           bool in_turn)
      : fleet_(fleet),
        targets_(targets),
        in_turn_(in_turn),
        loads_(fleet),
        cheapest_first_(moving.begin(), moving.end()),
        may_park_(fleet.vms.size(), false) {
    for (const VmIndex vm : moving) {
      waiting_.push_back({vm, fleet.vms[vm].host, targets[vm]});
      may_park_[vm] = true;
    }
    std::ranges::stable_sort(cheapest_first_, {}, [&](VmIndex vm) { return fleet.vms[vm].used; });
  }

  Steps run() {
    while (!waiting_.empty() && advance()) continue;
    return std::move(steps_);
  }

  /// Some went to a third host for nothing: all that came of it is possible without.
  Steps without_detours(Steps steps) {
    for (const auto& step : steps) make(step, loads_);
    for (std::size_t step = steps.size(); step-- > 0;) {
      unmake(steps[step], loads_);
      const Leg detour = steps[step].front();
      if (detour.to == targets_[detour.vm]) continue;
      // Until it goes on from there the steps are others; after that all is as before.
      const auto later = std::span(steps).subspan(step + 1);
      const auto [until, next] = next_leg(later, detour.vm);
      if (next != nullptr) next->from = detour.from;
      if (is_possible(later.first(until))) {
        steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(step));
      } else if (next != nullptr) {
        next->from = detour.to;
      }
    }
    return steps;
  }

 private:
  bool advance() { return take_step(in_turn_) || (in_turn_ && take_step(false)) || park_one(); }

  bool take_step(bool in_turn) {
    std::vector<Leg> step;
    std::vector<bool> awaited(fleet_.hosts.size(), false);
    share_anew();
    std::erase_if(waiting_, [&](const Leg& leg) {
      if (in_turn && awaited[leg.to]) return false;
      if (!loads_.fits(leg.vm, leg.to)) {
        awaited[leg.to] = true;
        return false;
      }
      if (!shares_links(leg)) return false;
      loads_.add(leg.vm, leg.to);
      step.push_back(leg);
      may_park_[leg.vm] = false;
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
    steps_.push_back(std::move(step));
    return true;
  }

  /// Of those in whose place others wait to be, the one that costs least to move twice: to where it
  /// is in nobody's way.
  bool park_one() {
    std::vector<bool> wanted(fleet_.hosts.size(), false);
    for (const Leg& leg : waiting_) wanted[leg.to] = true;
    const Load most = most_room();
    for (const VmIndex vm : cheapest_first_) {
      const HostIndex from = fleet_.vms[vm].host;
      if (!may_park_[vm] || !wanted[from]) continue;
      if (fleet_.vms[vm].memory > most.memory || loads_.needs(vm) > most.cpu) continue;
      const auto place = place_to_wait({vm, from, targets_[vm]}, wanted);
      if (!place) continue;
      may_park_[vm] = false;
      loads_.add(vm, *place);
      std::ranges::find(waiting_, vm, &Leg::vm)->from = *place;
      return end_step({{vm, from, *place}});
    }
    return false;
  }

  /// No host has more of either.
  [[nodiscard]] Load most_room() const {
    Load most;
    for (HostIndex host = 0; host < fleet_.hosts.size(); ++host) {
      const Load room = loads_.room(host);
      most.memory = std::max(most.memory, room.memory);
      most.cpu = std::max(most.cpu, room.cpu);
    }
    return most;
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

  static void make(const std::vector<Leg>& step, Loads& loads) {
    for (const Leg& leg : step) loads.add(leg.vm, leg.to);
    for (const Leg& leg : step) loads.remove(leg.vm, leg.from);
  }
  static void unmake(const std::vector<Leg>& step, Loads& loads) {
    for (const Leg& leg : step) loads.add(leg.vm, leg.from);
    for (const Leg& leg : step) loads.remove(leg.vm, leg.to);
  }

  /// The VM's first leg in these steps, and how many they are with its step; null and all of them
  /// if it has none.
  static std::pair<std::size_t, Leg*> next_leg(std::span<std::vector<Leg>> steps, VmIndex vm) {
    for (std::size_t step = 0; step < steps.size(); ++step) {
      const auto leg = std::ranges::find(steps[step], vm, &Leg::vm);
      if (leg != steps[step].end()) return {step + 1, &*leg};
    }
    return {steps.size(), nullptr};
  }

  /// From the loads as they are.
  bool is_possible(std::span<const std::vector<Leg>> steps) {
    Loads loads = loads_;
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

  const Fleet& fleet_;
  std::span<const HostIndex> targets_;
  bool in_turn_;
  Loads loads_;
  std::vector<Leg> waiting_;
  std::vector<VmIndex> cheapest_first_;
  std::vector<bool> may_park_;  ///< by VM: those that wait where they were
  std::vector<Traffic> in_;
  std::vector<Traffic> out_;
  Steps steps_;
};

/// At an order that leaves nothing stuck.
constexpr std::size_t kTries = 4;

/// All that move, those that take most before the others: they are hardest to find room for.
std::vector<VmIndex> largest_first(const Fleet& fleet, std::span<const HostIndex> targets) {
  std::vector<VmIndex> moving;
  for (VmIndex vm = 0; vm < fleet.vms.size(); ++vm) {
    if (targets[vm] != fleet.vms[vm].host) moving.push_back(vm);
  }
  std::ranges::stable_sort(moving, std::greater<>{},
                           [&fleet](VmIndex vm) { return fleet.vms[vm].memory; });
  return moving;
}

/// Those that are not at their targets in the end.
std::vector<Stuck> stuck_after(const Fleet& fleet, std::span<const HostIndex> targets,
                               const Steps& steps) {
  std::vector<HostIndex> places = places_of(fleet);
  for (const auto& step : steps) {
    for (const Leg& leg : step) places[leg.vm] = leg.to;
  }
  std::vector<Stuck> stuck;
  for (VmIndex vm = 0; vm < places.size(); ++vm) {
    if (places[vm] != targets[vm]) stuck.push_back({vm, places[vm], targets[vm], ""});
  }
  return stuck;
}

/// Whether there is room for it once all are at their targets.
bool fits_in_the_end(Loads& at_targets, const Stuck& stuck) {
  at_targets.remove(stuck.vm, stuck.to);
  const bool fits = at_targets.fits(stuck.vm, stuck.to);
  at_targets.add(stuck.vm, stuck.to);
  return fits;
}

Loads loads_at(const Fleet& fleet, std::span<const HostIndex> targets) {
  Loads loads(fleet);
  for (VmIndex vm = 0; vm < targets.size(); ++vm) {
    loads.remove(vm, fleet.vms[vm].host);
    loads.add(vm, targets[vm]);
  }
  return loads;
}

std::string why_stuck(const Fleet& fleet, const Stuck& stuck, bool fits) {
  const std::string& target = fleet.hosts[stuck.to].name;
  if (!fits) {
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

Order order_by(const Fleet& fleet, std::span<const HostIndex> targets,
               std::span<const VmIndex> moving, bool in_turn) {
  Order order;
  order.steps = Ordering(fleet, targets, moving, in_turn).run();
  order.stuck = stuck_after(fleet, targets, order.steps);
  return order;
}

/// Those that were stuck go first: others took the room that they waited for.
void let_pass(const std::vector<Stuck>& stuck, std::vector<VmIndex>& moving) {
  std::unordered_set<VmIndex> waiting;
  for (const Stuck& each : stuck) waiting.insert(each.vm);
  std::stable_partition(moving.begin(), moving.end(),
                        [&](VmIndex vm) { return waiting.contains(vm); });
}

}  // namespace

Order order_moves(const Fleet& fleet, std::span<const HostIndex> targets) {
  std::vector<VmIndex> moving = largest_first(fleet, targets);
  Loads at_targets = loads_at(fleet, targets);
  const auto fits = [&](const Stuck& stuck) { return fits_in_the_end(at_targets, stuck); };
  Order best = order_by(fleet, targets, moving, false);
  if (std::ranges::all_of(best.stuck, fits)) {
    std::vector<Stuck> stuck = best.stuck;
    for (std::size_t tries = 1; tries < kTries && !best.stuck.empty(); ++tries) {
      let_pass(stuck, moving);
      Order order = order_by(fleet, targets, moving, true);
      stuck = order.stuck;
      if (stuck.size() < best.stuck.size()) best = std::move(order);
    }
  }
  best.steps = Ordering(fleet, targets, {}, false).without_detours(std::move(best.steps));
  best.stuck = stuck_after(fleet, targets, best.steps);
  for (Stuck& stuck : best.stuck) stuck.why = why_stuck(fleet, stuck, fits(stuck));
  return best;
}

}  // namespace placement
