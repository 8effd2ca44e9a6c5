#include "placement/cost.hpp"

#include <algorithm>

namespace placement {

using migration::Mode;

namespace {

constexpr double kPageBytes = 4096;
constexpr double kStateBytes = 16384;
/// Of a stop, whatever remains: pause, save, restore, commit.
constexpr double kStopSeconds = 2e-3;
constexpr double kMaxDowntimeSeconds = 50e-3;
constexpr unsigned kMaxRounds = 30;
/// Above it a round leaves about as much as it has sent.
constexpr double kConverges = 0.9;
/// Of what a VM uses, that it has changed when it comes back to an image of it. VeCycle (Knauth and
/// Fetzer 2015): 50 to 70 % are as they were after two hours.
constexpr double kChanged = 0.4;

struct Rounds {
  double bytes = 0;
  double last_bytes = 0;  ///< sent after the stop
};

Rounds pre_copy(double bytes, double lambda, unsigned most, double bytes_per_second) {
  Rounds rounds{.bytes = 0, .last_bytes = bytes};
  const double small = std::max(0.0, kMaxDowntimeSeconds - kStopSeconds) * bytes_per_second;
  for (unsigned round = 0; round < most && (round == 0 || rounds.last_bytes > small); ++round) {
    rounds.bytes += rounds.last_bytes;
    rounds.last_bytes = std::min(bytes, rounds.last_bytes * lambda);
  }
  return rounds;
}

/// To send: all that is used, or what an image lacks.
double first_bytes(const Vm& vm, HostIndex to) {
  const auto used = static_cast<double>(vm.used);
  return std::ranges::find(vm.kept_at, to) == vm.kept_at.end() ? used : kChanged * used;
}

}  // namespace

double dirty_rate(const Vm& vm) { return vm.dirty_pages_per_s * kPageBytes; }

Mode mode_for(const Vm& vm, double bytes_per_second) {
  return dirty_rate(vm) < kConverges * bytes_per_second ? Mode::pre_copy : Mode::post_copy;
}

MoveCost cost_of(const Vm& vm, HostIndex to, Mode mode, double bytes_per_second,
                 const EnergyOfMoves& energy) {
  if (mode == Mode::automatic) mode = mode_for(vm, bytes_per_second);
  const double lambda = dirty_rate(vm) / bytes_per_second;
  const double bytes = first_bytes(vm, to);
  Rounds rounds{.bytes = 0, .last_bytes = bytes};
  if (mode == Mode::pre_copy) rounds = pre_copy(bytes, lambda, kMaxRounds, bytes_per_second);
  if (mode == Mode::hybrid) rounds = pre_copy(bytes, lambda, 1, bytes_per_second);
  const bool runs_there = mode == Mode::post_copy || mode == Mode::hybrid;
  MoveCost cost;
  cost.bytes = rounds.bytes + rounds.last_bytes + kStateBytes;
  cost.seconds = kSetUpSeconds + kStopSeconds + cost.bytes / bytes_per_second;
  cost.downtime_seconds =
      kStopSeconds + (kStateBytes + (runs_there ? 0 : rounds.last_bytes)) / bytes_per_second;
  cost.joules = energy.joules + energy.joules_per_byte * cost.bytes;
  return cost;
}

}  // namespace placement
