#include "growth.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "cpu_time.hpp"

namespace study {

using placement::Fleet;
using placement::HostIndex;
using placement::VmIndex;

namespace {

/// Of which the shortest counts: what else runs only adds to it.
constexpr std::size_t kTimes = 5;

void take(Fleet& fleet, const std::vector<Trace>& traces, std::size_t sample) {
  for (VmIndex vm = 0; vm < fleet.vms.size(); ++vm) {
    fleet.vms[vm].cpu.push_back(traces[vm % traces.size()][sample]);
  }
}

std::pair<std::vector<HostIndex>, double> decide(const placement::Policy& policy,
                                                 const Fleet& fleet) {
  std::vector<HostIndex> targets;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t time = 0; time < kTimes; ++time) {
    const double start = cpu_seconds();
    targets = policy.place(fleet);
    least = std::min(least, cpu_seconds() - start);
  }
  return {std::move(targets), least};
}

Decision decision(const placement::Policy& policy, const std::vector<Trace>& traces,
                  std::size_t repeat, bool memory_counts) {
  const Setting setting{.hosts = kHosts * repeat, .repeat = repeat, .memory_counts = memory_counts};
  Fleet fleet = make_fleet(setting, traces.size());
  for (std::size_t sample = 0; sample < placement::kRecentSamples; ++sample) {
    take(fleet, traces, sample);
  }
  Decision decision{.vms = fleet.vms.size(), .hosts = fleet.hosts.size()};
  const auto [targets, first_seconds] = decide(policy, fleet);
  decision.first_seconds = first_seconds;
  for (VmIndex vm = 0; vm < targets.size(); ++vm) fleet.vms[vm].host = targets[vm];
  take(fleet, traces, placement::kRecentSamples);
  decision.next_seconds = decide(policy, fleet).second;
  return decision;
}

}  // namespace

std::vector<Decision> growth(const placement::Policy& policy, const std::vector<Trace>& traces,
                             std::size_t most, bool memory_counts) {
  if (traces.front().size() <= placement::kRecentSamples) {
    throw std::runtime_error("the trace is too short: decisions are made of an hour of it");
  }
  std::vector<Decision> decisions;
  for (std::size_t repeat = 1; repeat <= most; repeat *= 2) {
    decisions.push_back(decision(policy, traces, repeat, memory_counts));
  }
  return decisions;
}

}  // namespace study
