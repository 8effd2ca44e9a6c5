#include "placement/fleet.hpp"

#include <algorithm>
#include <cmath>

namespace placement {

double watts(const Host& host, double cpu) {
  if (host.watts.size() < 2) return 0;
  const double steps = static_cast<double>(host.watts.size() - 1);
  const double at = host.cpu > 0 ? std::clamp(cpu / host.cpu, 0.0, 1.0) * steps : 0;
  const auto below = std::min(static_cast<std::size_t>(at), host.watts.size() - 2);
  const double part = at - static_cast<double>(below);
  return host.watts[below] * (1 - part) + host.watts[below + 1] * part;
}

Demand demand_of(const Vm& vm) {
  if (vm.cpu.empty()) return {};
  const std::size_t count = std::min(vm.cpu.size(), kRecentSamples);
  double sum = 0;
  double squares = 0;
  for (std::size_t i = vm.cpu.size() - count; i < vm.cpu.size(); ++i) {
    const double sample = vm.cpu[i] / 100 * vm.cpu_size;
    sum += sample;
    squares += sample * sample;
  }
  const double mean = sum / static_cast<double>(count);
  return {.latest = vm.cpu.back() / 100 * vm.cpu_size,
          .mean = mean,
          .variance = std::max(0.0, squares / static_cast<double>(count) - mean * mean)};
}

}  // namespace placement
