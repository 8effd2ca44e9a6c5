#include "placement/order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "placement/cost.hpp"
#include "placement/loads.hpp"

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
      : fleet_(fleet), loads_(fleet), parked_(fleet.vms.size(), false) {
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
    while (!waiting_.empty()) {
      if (take_step() || park_one()) continue;
      give_up();
    }
    return std::move(order_);
  }

 private:
  bool take_step() {
    std::vector<Leg> step;
    in_.assign(fleet_.hosts.size(), {});
    out_.assign(fleet_.hosts.size(), {});
    std::erase_if(waiting_, [&](const Leg& leg) {
      if (!loads_.fits(leg.vm, leg.to) || !shares_links(leg)) return false;
      loads_.add(leg.vm, leg.to);
      step.push_back(leg);
      return true;
    });
    return end_step(std::move(step));
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

  /// The one that costs least to move twice, to where it is in nobody's way.
  bool park_one() {
    std::vector<bool> wanted(fleet_.hosts.size(), false);
    for (const Leg& leg : waiting_) wanted[leg.to] = true;
    Leg* cheapest = nullptr;
    std::optional<HostIndex> place;
    for (Leg& leg : waiting_) {
      if (parked_[leg.vm]) continue;
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

  void give_up() {
    for (const Leg& leg : waiting_) {
      const Host& to = fleet_.hosts[leg.to];
      order_.stuck.push_back(
          {leg.vm, leg.to,
           fmt::format("there is no room for it at {} until others have left, these wait for "
                       "others in turn, and no third host has room for one of them meanwhile",
                       to.name)});
    }
    waiting_.clear();
  }

  const Fleet& fleet_;
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
