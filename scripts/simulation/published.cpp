#include "published.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <istream>
#include <limits>
#include <stdexcept>
#include <string_view>

namespace study {

using placement::Fleet;
using placement::Host;
using placement::HostIndex;
using placement::Vm;
using placement::VmIndex;

namespace {

constexpr std::size_t kMostSamples = 100'000;
constexpr double kMostPercent = 1000;
constexpr std::uint64_t kMegabyte = 1 << 20;

struct HostKind {
  double core;
  std::vector<double> watts;
};

/// HP ProLiant ML110 G4 and G5: SPECpower_ssj2008, watts at each tenth of load.
const std::array kHostKinds = {
    HostKind{1860, {86, 89.4, 92.6, 96, 99.5, 102, 106, 108, 112, 114, 117}},
    HostKind{2660, {93.7, 97, 101, 105, 110, 116, 121, 125, 129, 133, 135}}};
constexpr double kCores = 2;
constexpr std::uint64_t kHostMemory = 4096 * kMegabyte;
constexpr double kLink = 1e9 / 8;

struct VmKind {
  double mips;
  std::uint64_t memory;
};
constexpr std::array kVmKinds = {VmKind{2500, 870 * kMegabyte}, VmKind{2000, 1740 * kMegabyte},
                                 VmKind{1000, 1740 * kMegabyte}, VmKind{500, 613 * kMegabyte}};

Host host_of(std::size_t number) {
  const HostKind& kind = kHostKinds[number % kHostKinds.size()];
  Host host;
  host.name = fmt::format("host-{}", number);
  host.memory = kHostMemory;
  host.cpu = kCores * kind.core;
  host.core = kind.core;
  host.link = kLink;
  host.watts = kind.watts;
  return host;
}

/// What has been promised to VMs that start.
struct Promised {
  double cpu = 0;
  std::uint64_t memory = 0;
};

HostIndex cheapest_host(const Fleet& fleet, const std::vector<Promised>& promised,
                        const VmKind& kind, HostIndex begin, HostIndex end) {
  HostIndex best = end;
  double least = std::numeric_limits<double>::infinity();
  for (HostIndex index = begin; index < end; ++index) {
    const Host& host = fleet.hosts[index];
    const Promised& there = promised[index];
    if (kind.mips > host.core || there.cpu + kind.mips > host.cpu ||
        there.memory + kind.memory > host.memory) {
      continue;
    }
    const double cost = watts(host, kind.mips) - watts(host, 0);
    if (cost >= least) continue;
    least = cost;
    best = index;
  }
  return best;
}

/// For more VMs than could all do their most at once: the host that has promised least.
HostIndex least_promised(const Fleet& fleet, const std::vector<Promised>& promised,
                         const VmKind& kind, HostIndex begin, HostIndex end) {
  HostIndex best = end;
  for (HostIndex index = begin; index < end; ++index) {
    if (kind.mips > fleet.hosts[index].core) continue;
    const auto share = [&](HostIndex host) { return promised[host].cpu / fleet.hosts[host].cpu; };
    if (best == end || share(index) < share(best)) best = index;
  }
  if (best == end) throw std::runtime_error("there is no host for a VM of this size");
  return best;
}

HostIndex first_host(const Fleet& fleet, std::vector<Promised>& promised, const VmKind& kind,
                     HostIndex begin, HostIndex end) {
  HostIndex host = cheapest_host(fleet, promised, kind, begin, end);
  if (host == end) host = least_promised(fleet, promised, kind, begin, end);
  promised[host].cpu += kind.mips;
  promised[host].memory += kind.memory;
  return host;
}

Trace trace_of(std::string_view line, std::size_t number) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  Trace trace;
  while (!line.empty()) {
    double value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    const auto length = static_cast<std::size_t>(end - line.data());
    const bool comma = length < line.size() && line[length] == ',';
    if (error != std::errc{} || !(value >= 0 && value <= kMostPercent) ||
        (length < line.size() && !comma)) {
      throw std::runtime_error(fmt::format("line {} of the trace is no list of per cents", number));
    }
    if (trace.size() == kMostSamples) {
      throw std::runtime_error(
          fmt::format("line {} of the trace has more than {} samples", number, kMostSamples));
    }
    trace.push_back(value);
    line.remove_prefix(length + (comma ? 1 : 0));
  }
  return trace;
}

}  // namespace

std::vector<Trace> read_traces(std::istream& input) {
  std::vector<Trace> traces;
  for (std::string line; std::getline(input, line);) {
    traces.push_back(trace_of(line, traces.size() + 1));
    if (traces.back().size() != traces.front().size()) {
      throw std::runtime_error(fmt::format("line {} of the trace has {} samples, and the first {}",
                                           traces.size(), traces.back().size(),
                                           traces.front().size()));
    }
  }
  if (traces.empty() || traces.front().empty()) throw std::runtime_error("the trace is empty");
  return traces;
}

Fleet make_fleet(const Setting& setting, std::size_t traces) {
  if (setting.hosts < setting.repeat) {
    throw std::runtime_error(fmt::format("{} hosts are too few for a trace that is taken {} times",
                                         setting.hosts, setting.repeat));
  }
  Fleet fleet;
  for (std::size_t number = 0; number < setting.hosts; ++number) {
    fleet.hosts.push_back(host_of(number));
  }
  std::vector<Promised> promised(fleet.hosts.size());
  const std::size_t of_a_kind = (traces + kVmKinds.size() - 1) / kVmKinds.size();
  for (std::size_t block = 0; block < setting.repeat; ++block) {
    const HostIndex begin = block * setting.hosts / setting.repeat;
    const HostIndex end = (block + 1) * setting.hosts / setting.repeat;
    for (std::size_t number = 0; number < traces; ++number) {
      const VmKind& kind = kVmKinds[number / of_a_kind];
      Vm vm;
      vm.name = fmt::format("vm-{}", block * traces + number);
      vm.host = first_host(fleet, promised, kind, begin, end);
      vm.memory = setting.memory_counts ? kind.memory : 0;
      vm.used = kind.memory;
      vm.cpu_size = kind.mips;
      fleet.vms.push_back(std::move(vm));
    }
  }
  return fleet;
}

}  // namespace study
