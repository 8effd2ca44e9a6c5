#pragma once

#include <cstddef>
#include <span>

#include "placement/policy.hpp"

namespace placement {

/// What comes `ahead` samples after the last one, by local regression: a line through all of them,
/// where the late ones weigh more (Loess with tricube weights) or all alike.
[[nodiscard]] double extrapolate(std::span<const double> samples, std::size_t ahead,
                                 bool late_ones_weigh_more);

/// The baseline of the field (Beloglazov and Buyya 2012, "Optimal online deterministic algorithms
/// and adaptive heuristics for energy and performance efficient dynamic consolidation of virtual
/// machines in cloud data centers"). A host is overloaded when local regression says that it will
/// be; those of its VMs with the least memory leave it (minimum migration time) until it is not.
/// They go where they cost least power, those that need most CPU first (power-aware best fit). Then
/// the hosts are emptied, from the one that does least, whose VMs all find room elsewhere.
class PowerAware final : public Policy {
 public:
  struct Settings {
    double safety = 1.2;
    std::size_t samples = 10;  ///< at most kRecentSamples
    /// Where samples are missing, a host is overloaded above this share of its CPU.
    double threshold = 0.7;
    bool late_ones_weigh_more = true;
    /// As the program does by which the published figures were found: it leaves out of account that
    /// a host which is off costs its idle power, and that a VM may need again what it used before
    /// its latest sample; it takes a host for off whose VMs use no CPU; and to each VM that goes to
    /// a host it charges all watts that the host takes more than before anything moved.
    bool careless = false;
  };

  PowerAware() : PowerAware(Settings{}) {}
  explicit PowerAware(const Settings& settings) : settings_(settings) {}
  /// As published.
  static PowerAware as_published() {
    return PowerAware({.late_ones_weigh_more = false, .careless = true});
  }

  [[nodiscard]] std::vector<HostIndex> place(const Fleet& fleet) const override;
  /// The same, with the VMs that were given a place, and then another as that host was emptied: the
  /// published program moves them twice.
  [[nodiscard]] std::vector<HostIndex> place(const Fleet& fleet,
                                             std::vector<VmIndex>& moved_on) const;

 private:
  Settings settings_;
};

}  // namespace placement
