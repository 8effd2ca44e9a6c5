#include "rack.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "migration/model/run.hpp"
#include "placement/cost.hpp"
#include "placement/drain.hpp"
#include "placement/order.hpp"

namespace study {

using placement::Fleet;
using placement::HostIndex;
using placement::Leg;
using placement::Vm;
using placement::VmIndex;

namespace {

constexpr double kLimitSeconds = 300;
constexpr double kGbit = 1e9 / 8;
constexpr double kLink = kGbit;
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kGuestBytes = 1ULL << 30;
/// What guests write, by turns: pages per second, in a quarter of their memory.
constexpr std::array kDirtyPages = {0.0, 500.0, 5000.0, 40000.0};
constexpr std::uint64_t kWrittenPages = kGuestBytes / kPageBytes / 4;
/// Ferry's --timeout, by default.
constexpr double kTimeoutSeconds = 10;

Fleet rack_and_as_much_room(const RackSetting& setting) {
  Fleet fleet;
  for (HostIndex index = 0; index < 2 * setting.hosts; ++index) {
    placement::Host& host = fleet.hosts.emplace_back();
    host.name = fmt::format("{}", index);
    // A drained host's guests find room at one that has its own.
    host.memory = 2 * setting.guests * kGuestBytes;
    host.cpu = host.core = 1;
    host.link = kLink;
  }
  for (VmIndex index = 0; index < setting.hosts * setting.guests; ++index) {
    Vm& vm = fleet.vms.emplace_back();
    vm.host = index / setting.guests;
    vm.memory = vm.used = kGuestBytes;
    vm.dirty_pages_per_s = kDirtyPages[index % kDirtyPages.size()];
  }
  return fleet;
}

/// As migration/model has it, by the live policies.
class Moves {
 public:
  explicit Moves(migration::Mode mode) : mode_(mode) {}

  const migration::model::Outcome& of(const Vm& vm, double bytes_per_second) {
    const auto [found, is_new] = known_.try_emplace({vm.dirty_pages_per_s, bytes_per_second});
    if (is_new) found->second = migration::model::run(scenario(vm, bytes_per_second));
    return found->second;
  }

 private:
  [[nodiscard]] migration::model::Scenario scenario(const Vm& vm, double bytes_per_second) const {
    migration::model::Scenario scenario;
    scenario.guest.pages = kGuestBytes / kPageBytes;
    scenario.guest.writes.region = {0, kWrittenPages};
    scenario.guest.writes.per_second = vm.dirty_pages_per_s;
    scenario.link.bytes_per_second = bytes_per_second;
    scenario.hosts.begin_seconds = placement::kSetUpSeconds;
    scenario.settings.mode = mode_;
    return scenario;
  }

  const migration::Mode mode_;
  std::map<std::pair<double, double>, migration::model::Outcome> known_;
};

class Rack {
 public:
  explicit Rack(const RackSetting& setting)
      : setting_(setting),
        fleet_(rack_and_as_much_room(setting)),
        moves_(setting.mode),
        uplink_(setting.uplink_gbit * kGbit),
        network_(fleet_.hosts, {setting.hosts, uplink_},
                 {setting.cut.at, setting.cut.seconds, kTimeoutSeconds}) {}

  RackResult run() {
    network_.run([this] {
      std::vector<HostIndex> all(setting_.hosts);
      std::iota(all.begin(), all.end(), HostIndex{0});
      if (setting_.host_by_host) {
        for (const HostIndex host : all) drain({host});
      } else {
        drain(all);
      }
      result_.seconds = network_.now();
    });
    const auto in_time =
        std::ranges::count_if(result_.leaves, [](double at) { return at <= kLimitSeconds; });
    result_.late = fleet_.vms.size() - static_cast<std::size_t>(in_time);
    result_.left = static_cast<std::size_t>(
        std::ranges::count_if(fleet_.vms, [this](const Vm& vm) { return in_rack(vm.host); }));
    return result_;
  }

 private:
  [[nodiscard]] bool in_rack(HostIndex host) const { return host < setting_.hosts; }

  /// Where a step fails, the rest is planned anew when the link is back.
  void drain(const std::vector<HostIndex>& hosts) {
    for (;;) {
      const auto targets = placement::Drain(hosts).place(fleet_);
      const auto order = placement::order_moves(fleet_, targets);
      if (!order.stuck.empty()) throw std::logic_error("the rack's guests find no room");
      if (std::ranges::all_of(order.steps, [this](const auto& step) { return move(step); })) return;
      network_.sleep_until(setting_.cut.at + setting_.cut.seconds);
    }
  }

  /// Whether all of them got there.
  bool move(const std::vector<Leg>& step) {
    std::vector<Transfer> transfers;
    std::vector<const migration::model::Outcome*> outcomes;
    for (const Leg& leg : step) {
      const double rate = share_of(leg, step);
      const auto& outcome = moves_.of(fleet_.vms[leg.vm], rate);
      outcomes.push_back(&outcome);
      const auto bytes = static_cast<double>(outcome.wire_bytes);
      transfers.push_back(
          {leg.from, leg.to, bytes, std::max(0.0, outcome.total_seconds - bytes / rate)});
    }
    std::size_t there = 0;
    const auto ended = [&](std::size_t i) {
      ++there;
      ++result_.moves;
      result_.bytes += transfers[i].bytes;
      result_.stop_seconds = std::max(result_.stop_seconds, outcomes[i]->downtime_seconds);
      fleet_.vms[step[i].vm].host = step[i].to;
      if (!in_rack(step[i].to)) result_.leaves.push_back(network_.now());
    };
    const auto breaks = [&](std::size_t i, double share) {
      if (share >= outcomes[i]->handover_seconds / outcomes[i]->total_seconds) {
        ++result_.stood;
        return false;
      }
      if (setting_.cut.seconds <= kTimeoutSeconds) return false;
      ++result_.broken;
      result_.bytes += share * transfers[i].bytes;
      result_.vain_bytes += share * transfers[i].bytes;
      return true;
    };
    network_.transfer(transfers, ended, breaks);
    return there == step.size();
  }

  /// Of the links on its way, while all moves of the step go on.
  [[nodiscard]] double share_of(const Leg& leg, const std::vector<Leg>& step) const {
    const auto crosses = [this](const Leg& move) { return in_rack(move.from) != in_rack(move.to); };
    const auto out = std::ranges::count(step, leg.from, &Leg::from);
    const auto in = std::ranges::count(step, leg.to, &Leg::to);
    double share = kLink / static_cast<double>(std::max(out, in));
    if (crosses(leg)) {
      const auto crossing = std::ranges::count_if(step, crosses);
      share = std::min(share, uplink_ / static_cast<double>(crossing));
    }
    return share;
  }

  const RackSetting setting_;
  Fleet fleet_;
  Moves moves_;
  const double uplink_;
  Network network_;
  RackResult result_;
};

}  // namespace

RackResult empty_rack(const RackSetting& setting) { return Rack(setting).run(); }

}  // namespace study
