#pragma once

#include <string>
#include <utility>
#include <vector>

#include "placement/fleet.hpp"

namespace placement {

inline constexpr std::uint64_t kMebibyte = 1 << 20;

/// 4 GiB, 4 units of CPU, 1 Gbit/s.
inline Host host(std::string name) {
  Host host;
  host.name = std::move(name);
  host.memory = 4096 * kMebibyte;
  host.cpu = 4;
  host.core = 4;
  host.link = 125e6;
  host.watts = {100, 200};
  return host;
}

/// 512 MiB, of which half is used.
inline Vm vm(std::string name, HostIndex where, std::vector<double> cpu) {
  Vm vm;
  vm.name = std::move(name);
  vm.host = where;
  vm.memory = 512 * kMebibyte;
  vm.used = 256 * kMebibyte;
  vm.cpu = std::move(cpu);
  return vm;
}

/// So many hosts, without a VM.
inline Fleet hosts(std::size_t count) {
  Fleet fleet;
  for (std::size_t i = 0; i < count; ++i) fleet.hosts.push_back(host("h" + std::to_string(i)));
  return fleet;
}

}  // namespace placement
