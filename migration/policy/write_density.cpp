#include "migration/policy/write_density.hpp"

#include <algorithm>
#include <cmath>

namespace migration {

namespace {

/// The bins end at 2^-14, and so on up to 2^5.5; the last one has no end.
constexpr double kFirstEnd = -14;
constexpr double kBinsPerOctave = 2;
/// Of so many windows half are forgotten.
constexpr std::uint32_t kMostWindows = 256;
constexpr double kLowShare = 0.1;

double end_of(std::size_t bin) {
  return std::exp2(kFirstEnd + static_cast<double>(bin) / kBinsPerOctave);
}

std::size_t bin_of(double ratio, std::size_t bins) {
  if (!(ratio > end_of(0))) return 0;
  const double above = std::ceil((std::log2(ratio) - kFirstEnd) * kBinsPerOctave);
  return static_cast<std::size_t>(std::min(above, static_cast<double>(bins - 1)));
}

}  // namespace

void WriteDensity::add(double ratio) {
  ++bins_.at(bin_of(ratio, kBins));
  if (++windows_ < kMostWindows) return;
  windows_ = 0;
  for (std::uint32_t& bin : bins_) windows_ += bin /= 2;
}

double WriteDensity::low() const {
  if (empty()) return 0;
  double up_to = 0;
  std::size_t bin = 0;
  for (; bin + 1 < kBins; ++bin) {
    up_to += bins_.at(bin);
    if (up_to >= kLowShare * windows_) break;
  }
  return end_of(bin);
}

}  // namespace migration
