#include "placement/balance.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "placement/loads.hpp"

namespace placement {

namespace {

/// Of a host's size, by which two hosts may differ.
constexpr double kEven = 0.05;

class Balancing {
 public:
  explicit Balancing(const Fleet& fleet)
      : fleet_(fleet), loads_(fleet), places_(places_of(fleet)), at_(fleet.hosts.size()) {
    for (VmIndex vm = 0; vm < places_.size(); ++vm) at_[places_[vm]].push_back(vm);
    for (HostIndex host = 0; host < fleet.hosts.size(); ++host) {
      by_load_.insert({load(host), host});
    }
  }

  std::vector<HostIndex> run() {
    // Each host that can give nothing more is left out, so this comes to an end.
    while (by_load_.size() > 1) {
      const HostIndex from = by_load_.rbegin()->second;
      const HostIndex to = by_load_.begin()->second;
      if (load(from) - load(to) < kEven) break;
      if (const auto vm = best(from, to)) {
        move(*vm, from, to);
      } else {
        by_load_.erase(std::prev(by_load_.end()));
      }
    }
    return std::move(places_);
  }

 private:
  [[nodiscard]] double load(HostIndex host) const {
    return share(host, loads_.at(host).cpu, loads_.at(host).memory);
  }

  /// Of a host, that these take: of what is scarcer there.
  [[nodiscard]] double share(HostIndex host, double cpu, std::uint64_t memory) const {
    const Host& size = fleet_.hosts[host];
    return std::max(cpu / size.cpu, static_cast<double>(memory) / static_cast<double>(size.memory));
  }

  /// By how much the fuller one of the two is less full after the move.
  [[nodiscard]] double gain(VmIndex vm, HostIndex from, HostIndex to) const {
    const Load& here = loads_.at(from);
    const Load& there = loads_.at(to);
    const double cpu = loads_.needs(vm);
    const std::uint64_t memory = fleet_.vms[vm].memory;
    return load(from) - std::max(share(from, here.cpu - cpu, here.memory - memory),
                                 share(to, there.cpu + cpu, there.memory + memory));
  }

  [[nodiscard]] std::optional<VmIndex> best(HostIndex from, HostIndex to) const {
    std::optional<VmIndex> found;
    double most = 0;
    for (const VmIndex vm : at_[from]) {
      if (fleet_.vms[vm].pinned || !loads_.fits(vm, to)) continue;
      const double gained = gain(vm, from, to);
      if (gained < kEven / 2) continue;
      const double worth = gained / static_cast<double>(fleet_.vms[vm].used + 1);
      if (found && worth <= most) continue;
      found = vm;
      most = worth;
    }
    return found;
  }

  void move(VmIndex vm, HostIndex from, HostIndex to) {
    by_load_.erase({load(from), from});
    by_load_.erase({load(to), to});
    loads_.remove(vm, from);
    loads_.add(vm, to);
    std::erase(at_[from], vm);
    at_[to].push_back(vm);
    places_[vm] = to;
    by_load_.insert({load(from), from});
    by_load_.insert({load(to), to});
  }

  const Fleet& fleet_;
  Loads loads_;
  std::vector<HostIndex> places_;
  std::vector<std::vector<VmIndex>> at_;
  std::set<std::pair<double, HostIndex>> by_load_;
};

}  // namespace

std::vector<HostIndex> Balance::place(const Fleet& fleet) const { return Balancing(fleet).run(); }

}  // namespace placement
