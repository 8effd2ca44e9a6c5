#pragma once

#include <cstddef>
#include <vector>

#include "placement/fleet.hpp"

namespace study {

/// What became of a day.
struct Figures {
  double energy_kwh = 0;
  std::size_t migrations = 0;
  double bytes = 0;
  double slatah = 0;          ///< share of their time that hosts which are on are fully used
  double pdm = 0;             ///< share of the CPU asked for that migrations take
  std::size_t overloads = 0;  ///< samples at which a host is fully used
  double hosts_on = 0;        ///< on average
  double policy_seconds = 0;  ///< of CPU, that the policy took
  [[nodiscard]] double slav() const { return slatah * pdm; }
};

/// Keeps account of hosts and VMs while time goes by.
class Metrics {
 public:
  explicit Metrics(const placement::Fleet& fleet);

  /// All VMs have a new sample, for so long.
  void sampled(double now, double seconds);
  /// A VM begins to move, and has ended. Until then its destination has a tenth of its load.
  void begins(double now, placement::VmIndex vm, placement::HostIndex to);
  void ended(double now, placement::VmIndex vm, placement::HostIndex from, placement::HostIndex to,
             double bytes);
  /// A VM moved on at once from where another move had brought it.
  void moved_on(double bytes);

  [[nodiscard]] Figures figures(double now);

 private:
  struct Account {
    double load = 0;  ///< of its CPU, that VMs ask for
    std::size_t vms = 0;
    double since = 0;
    double joules = 0;
    double on_seconds = 0;
    double full_seconds = 0;
  };

  /// Until now it was as it is.
  void settle(double now, placement::HostIndex host);
  [[nodiscard]] bool full(placement::HostIndex host) const;
  [[nodiscard]] double asked(placement::VmIndex vm) const;
  [[nodiscard]] double load(placement::VmIndex vm, placement::HostIndex host) const;

  const placement::Fleet& fleet_;
  std::vector<Account> hosts_;
  std::vector<placement::HostIndex> going_to_;
  std::vector<double> began_;
  double asked_ = 0;     ///< CPU seconds of all VMs
  double degraded_ = 0;  ///< of these, that migrations take
  Figures figures_;
};

}  // namespace study
