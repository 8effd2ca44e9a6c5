#include "placement/idle_together.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "placement/cost.hpp"
#include "placement/expected.hpp"
#include "placement/host_trees.hpp"

namespace placement {

namespace {

enum Kind : std::size_t { idle, active };
constexpr std::array kKinds = {idle, active};

class Consolidation {
 public:
  Consolidation(const Fleet& fleet, const IdleTogether::Settings& settings)
      : fleet_(fleet),
        settings_(settings),
        places_(places_of(fleet)),
        at_(fleet.hosts.size()),
        sums_(fleet.hosts.size()),
        kind_of_host_(fleet.hosts.size(), idle),
        cores_(cores_of(fleet)),
        trees_(fleet.hosts.size(), kTrees * cores_.size()) {
    for (VmIndex vm = 0; vm < places_.size(); ++vm) {
      const Demand demand = demand_of(fleet.vms[vm]);
      parts_.push_back(
          {demand.mean, demand.variance, demand.needs(), demand.latest, fleet.vms[vm].memory, 1});
      at_[places_[vm]].push_back(vm);
      sums_[places_[vm]] += parts_[vm];
    }
    for (HostIndex host = 0; host < fleet.hosts.size(); ++host) {
      if (!at_[host].empty()) kind_of_host_[host] = kind_by_content(host);
    }
    have_both_kinds();
    for (HostIndex host = 0; host < fleet.hosts.size(); ++host) enter(host);
  }

  std::vector<HostIndex> run() {
    std::vector<VmIndex> misplaced;
    for (HostIndex host = 0; host < fleet_.hosts.size(); ++host) {
      relieve(host);
      for (const VmIndex vm : at_[host]) {
        if (clearly(other(kind_of_host_[host]), vm) && !fleet_.vms[vm].pinned) {
          misplaced.push_back(vm);
        }
      }
    }
    std::ranges::stable_sort(misplaced, std::greater<>{},
                             [&](VmIndex vm) { return parts_[vm].needs; });
    for (const VmIndex vm : misplaced) {
      const Kind kind = other(kind_of_host_[places_[vm]]);
      auto to = best_fit(vm, kind, places_[vm]);
      if (!to) to = off_host(vm);
      if (to) move(vm, *to, kind);
    }
    empty_hosts();
    return std::move(places_);
  }

 private:
  static Kind other(Kind kind) { return kind == idle ? active : idle; }

  [[nodiscard]] double percent(VmIndex vm) const {
    return 100 * parts_[vm].mean / fleet_.vms[vm].cpu_size;
  }
  [[nodiscard]] bool clearly(Kind kind, VmIndex vm) const {
    return kind == idle ? percent(vm) < settings_.idle_below : percent(vm) > settings_.active_above;
  }
  [[nodiscard]] Kind kind_of(VmIndex vm) const {
    return 2 * percent(vm) > settings_.idle_below + settings_.active_above ? active : idle;
  }

  /// What most of its work is of.
  [[nodiscard]] Kind kind_by_content(HostIndex host) const {
    double of_active = 0;
    for (const VmIndex vm : at_[host]) of_active += kind_of(vm) == active ? parts_[vm].needs : 0;
    return 2 * of_active > sums_[host].needs ? active : idle;
  }

  /// Where VMs of one kind have no host to go to, the one that holds least against it becomes
  /// theirs.
  void have_both_kinds() {
    std::array<bool, 2> wanted{};
    std::array<bool, 2> there{};
    for (HostIndex host = 0; host < at_.size(); ++host) {
      there[kind_of_host_[host]] = there[kind_of_host_[host]] || !at_[host].empty();
      if (at_[host].empty()) there = {true, true};
    }
    for (VmIndex vm = 0; vm < places_.size(); ++vm) {
      for (const Kind kind : kKinds) wanted[kind] = wanted[kind] || clearly(kind, vm);
    }
    for (const Kind kind : kKinds) {
      if (!wanted[kind] || there[kind] || at_.size() < 2) continue;
      const auto misfits = [&](HostIndex host) {
        return std::ranges::count_if(at_[host], [&](VmIndex vm) { return kind_of(vm) != kind; });
      };
      HostIndex best = 0;
      for (HostIndex host = 1; host < at_.size(); ++host) {
        if (misfits(host) < misfits(best)) best = host;
      }
      kind_of_host_[best] = kind;
    }
  }

  // Hosts in order: those that are on, of each kind, by the CPU that they have left; those that are
  // off by their worth. Each size of core has trees of its own.

  [[nodiscard]] static std::vector<double> cores_of(const Fleet& fleet) {
    std::vector<double> cores;
    for (const Host& host : fleet.hosts) cores.push_back(host.core);
    std::ranges::sort(cores);
    cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
    return cores;
  }
  [[nodiscard]] std::size_t tree_of(HostIndex host) const {
    const auto core = std::ranges::lower_bound(cores_, fleet_.hosts[host].core) - cores_.begin();
    const std::size_t order = at_[host].empty() ? kOff : kind_of_host_[host];
    return order * cores_.size() + static_cast<std::size_t>(core);
  }
  [[nodiscard]] HostTrees::Key key_of(HostIndex host) const {
    return {at_[host].empty() ? worth(host) : left(host), host};
  }
  void enter(HostIndex host) {
    const Host& size = fleet_.hosts[host];
    const std::uint64_t used = std::min(size.memory, sums_[host].memory);
    trees_.insert(tree_of(host), key_of(host), {size.memory - used, size.cpu});
  }
  void leave(HostIndex host) { trees_.erase(tree_of(host), key_of(host)); }
  /// The first host in this order, `from` or behind it, with memory and a core for the VM; one that
  /// is off has all that it needs.
  [[nodiscard]] std::optional<HostTrees::Key> first(std::size_t order, HostTrees::Key from,
                                                    VmIndex vm) const {
    const HostTrees::Has wanted{parts_[vm].memory,
                                order == kOff ? parts_[vm].peak(settings_.room) : 0};
    std::optional<HostTrees::Key> best;
    for (std::size_t core = cores_.size(); core-- > 0 && cores_[core] >= parts_[vm].needs;) {
      const auto found = trees_.first(order * cores_.size() + core, from, wanted);
      if (found && (!best || *found < *best)) best = found;
    }
    return best;
  }

  [[nodiscard]] double left(HostIndex host) const {
    return fleet_.hosts[host].cpu - sums_[host].peak(settings_.room);
  }
  /// Watts for each unit of CPU, when busy: what is least is switched on first.
  [[nodiscard]] double worth(HostIndex host) const {
    const Host& size = fleet_.hosts[host];
    return watts(size, size.cpu) / size.cpu;
  }

  [[nodiscard]] bool fits(VmIndex vm, HostIndex host) const {
    const Host& size = fleet_.hosts[host];
    Expected after = sums_[host];
    after += parts_[vm];
    return after.memory <= size.memory && parts_[vm].needs <= size.core &&
           after.peak(settings_.room) <= size.cpu;
  }

  void move(VmIndex vm, HostIndex to, Kind kind) {
    const HostIndex from = places_[vm];
    leave(from);
    leave(to);
    if (at_[to].empty()) kind_of_host_[to] = kind;
    std::erase(at_[from], vm);
    sums_[from] -= parts_[vm];
    at_[to].push_back(vm);
    sums_[to] += parts_[vm];
    places_[vm] = to;
    enter(from);
    enter(to);
  }

  /// The host of this kind with the least room that is enough, rather one with an image of the VM.
  [[nodiscard]] std::optional<HostIndex> best_fit(VmIndex vm, Kind kind, HostIndex not_here) const {
    const auto suits = [&](HostIndex host) {
      return host != not_here && !at_[host].empty() && kind_of_host_[host] == kind &&
             fits(vm, host);
    };
    for (const HostIndex host : fleet_.vms[vm].kept_at) {
      if (suits(host)) return host;
    }
    // As far as CPU goes: what has less than the one has no room, what has more than the other has.
    const Expected& part = parts_[vm];
    const double least = std::min(part.mean, part.needs);
    const double enough = part.peak(settings_.room);
    std::size_t looks = 0;
    for (auto at = first(kind, {least, 0}, vm); at;) {
      if (suits(at->second)) return at->second;
      const bool skips = ++looks == kLooks && at->first < enough;
      at = first(kind,
                 skips ? HostTrees::Key{enough, 0} : HostTrees::Key{at->first, at->second + 1}, vm);
    }
    return std::nullopt;
  }

  /// One that is off, and saves most.
  [[nodiscard]] std::optional<HostIndex> off_host(VmIndex vm) const {
    const auto at = first(kOff, kFirst, vm);
    if (!at) return std::nullopt;
    return at->second;
  }

  /// Gives away what costs least for the relief that it brings.
  void relieve(HostIndex host) {
    const Host& size = fleet_.hosts[host];
    const auto overloaded = [&] { return sums_[host].latest > size.cpu; };
    const Kind kind = kind_of_host_[host];
    if (!overloaded()) return;
    std::vector<VmIndex> here = at_[host];
    std::erase_if(here, [&](VmIndex vm) { return fleet_.vms[vm].pinned || parts_[vm].needs <= 0; });
    std::ranges::stable_sort(here, {}, [&](VmIndex vm) {
      return static_cast<double>(fleet_.vms[vm].used) / parts_[vm].needs;
    });
    for (const VmIndex vm : here) {
      if (!overloaded()) return;
      auto to = best_fit(vm, kind, host);
      if (!to) to = off_host(vm);
      if (!to) to = best_fit(vm, other(kind), host);
      if (to) move(vm, *to, kind);
    }
  }

  // Switching hosts off.

  /// Where nobody does, a host that is off is worth any move.
  [[nodiscard]] bool knows_watts(HostIndex host) const { return !fleet_.hosts[host].watts.empty(); }
  [[nodiscard]] double watts_of(HostIndex host) const {
    return at_[host].empty() ? 0 : watts(fleet_.hosts[host], sums_[host].needs);
  }

  [[nodiscard]] double joules_to_empty(HostIndex host) const {
    double joules = 0;
    for (const VmIndex vm : at_[host]) {
      // Where it goes is not known yet: any host with an image counts.
      const auto& kept = fleet_.vms[vm].kept_at;
      const HostIndex to = kept.empty() ? fleet_.hosts.size() : kept.front();
      joules +=
          cost_of(fleet_.vms[vm], to, migration::Mode::automatic, fleet_.hosts[host].link).joules;
    }
    return joules;
  }

  void empty_hosts() {
    std::vector<std::pair<double, HostIndex>> order;
    for (HostIndex host = 0; host < at_.size(); ++host) {
      if (at_[host].empty()) continue;
      const double saved = watts(fleet_.hosts[host], 0) * settings_.horizon_seconds;
      const double joules = joules_to_empty(host);
      if (knows_watts(host) && joules >= saved) continue;
      order.emplace_back(knows_watts(host) ? joules / saved : joules, host);
    }
    std::ranges::sort(order);
    std::vector<bool> filled(at_.size(), false);
    for (const auto& [joules, host] : order) {
      if (filled[host]) continue;
      for (const HostIndex target : move_all(host)) filled[target] = true;
    }
  }

  /// All VMs of a host, or none where one finds no room or all hosts together save too little:
  /// where to.
  std::vector<HostIndex> move_all(HostIndex host) {
    if (std::ranges::any_of(at_[host], [&](VmIndex vm) { return fleet_.vms[vm].pinned; })) {
      return {};
    }
    const Kind kind = kind_of_host_[host];
    std::vector<VmIndex> here = at_[host];
    std::ranges::stable_sort(here, std::greater<>{}, [&](VmIndex vm) { return parts_[vm].needs; });
    std::vector<HostIndex> targets;
    double watts_saved = 0;
    double joules = 0;
    for (const VmIndex vm : here) {
      const auto to = best_fit(vm, kind, host);
      if (!to) break;
      watts_saved += watts_of(host) + watts_of(*to);
      move(vm, *to, kind);
      watts_saved -= watts_of(host) + watts_of(*to);
      const double link = std::min(fleet_.hosts[host].link, fleet_.hosts[*to].link);
      joules += cost_of(fleet_.vms[vm], *to, migration::Mode::automatic, link).joules;
      targets.push_back(*to);
    }
    const bool pays = !knows_watts(host) || watts_saved * settings_.horizon_seconds > joules;
    if (targets.size() == here.size() && pays) return targets;
    for (std::size_t i = 0; i < targets.size(); ++i) move(here[i], host, kind);
    return {};
  }

  /// At hosts that may have room, before one that has it is taken.
  static constexpr std::size_t kLooks = 64;
  /// An order besides those of the kinds.
  static constexpr std::size_t kOff = kKinds.size();
  static constexpr std::size_t kTrees = kOff + 1;
  static constexpr HostTrees::Key kFirst{-std::numeric_limits<double>::infinity(), 0};

  const Fleet& fleet_;
  const IdleTogether::Settings& settings_;
  std::vector<HostIndex> places_;
  std::vector<Expected> parts_;
  std::vector<std::vector<VmIndex>> at_;
  std::vector<Expected> sums_;
  std::vector<Kind> kind_of_host_;
  std::vector<double> cores_;  ///< that hosts have, each once
  HostTrees trees_;
};

}  // namespace

std::vector<HostIndex> IdleTogether::place(const Fleet& fleet) const {
  return Consolidation(fleet, settings_).run();
}

}  // namespace placement
