#include "table1.hpp"

#include <algorithm>

#include "network.hpp"
#include "placement/cost.hpp"
#include "placement/order.hpp"

namespace study {

using placement::Fleet;
using placement::HostIndex;
using placement::Leg;
using placement::Vm;

namespace {

constexpr HostIndex kHere = 0;
constexpr HostIndex kThere = 1;
Fleet guests_at_one_host(std::size_t count) {
  Fleet fleet;
  fleet.hosts = table1_hosts(count);
  fleet.vms.resize(count);
  for (Vm& vm : fleet.vms) {
    vm.memory = vm.used = kTable1GuestBytes;
    vm.dirty_pages_per_s = kTable1DirtyPages;
  }
  return fleet;
}

class Journey {
 public:
  Journey(std::size_t guests, migration::Mode mode, bool at_once)
      : mode_(mode),
        at_once_(at_once),
        fleet_(guests_at_one_host(guests)),
        network_(fleet_.hosts) {}

  Table1 run(bool reuse) {
    network_.run([this, reuse] {
      leg(kThere, result_.there_bytes, result_.there_seconds);
      if (reuse) {
        for (Vm& vm : fleet_.vms) vm.kept_at = {kHere};
      }
      leg(kHere, result_.back_bytes, result_.back_seconds);
    });
    return result_;
  }

 private:
  void leg(HostIndex to, double& bytes, double& seconds) {
    const double start = network_.now();
    for (const auto& step : steps(to)) move(step, bytes);
    seconds = network_.now() - start;
  }

  [[nodiscard]] std::vector<std::vector<Leg>> steps(HostIndex to) const {
    const std::vector<HostIndex> targets(fleet_.vms.size(), to);
    auto steps = placement::order_moves(fleet_, targets).steps;
    if (!at_once_) return steps;
    std::vector<Leg> all;
    for (const auto& step : steps) all.insert(all.end(), step.begin(), step.end());
    return {all};
  }

  void move(const std::vector<Leg>& step, double& bytes) {
    std::vector<Transfer> transfers;
    const double share = kTable1Link / static_cast<double>(step.size());
    for (const Leg& leg : step) {
      const auto cost = placement::cost_of(fleet_.vms[leg.vm], leg.to, mode_, share);
      bytes += cost.bytes;
      result_.stop_seconds = std::max(result_.stop_seconds, cost.downtime_seconds);
      transfers.push_back({leg.from, leg.to, cost.bytes, cost.seconds - cost.bytes / share});
    }
    network_.transfer(transfers, [&](std::size_t i) { fleet_.vms[step[i].vm].host = step[i].to; });
  }

  const migration::Mode mode_;
  const bool at_once_;
  Fleet fleet_;
  Network network_;
  Table1 result_;
};

}  // namespace

std::vector<placement::Host> table1_hosts(std::size_t guests) {
  std::vector<placement::Host> hosts;
  for (const char* name : {"A", "B"}) {
    placement::Host& host = hosts.emplace_back();
    host.name = name;
    host.memory = guests * kTable1GuestBytes;
    host.core = 1;
    host.cpu = static_cast<double>(guests);
    host.link = kTable1Link;
  }
  return hosts;
}

Table1 table1(std::size_t guests, migration::Mode mode, bool reuse, bool at_once) {
  return Journey(guests, mode, at_once).run(reuse);
}

}  // namespace study
