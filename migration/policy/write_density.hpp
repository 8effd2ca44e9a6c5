#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace migration {

/// The probability density of memory change, as the last few hundred short windows have shown it:
/// how often the guest wrote so fast, in units of what the link carries. Its bins are half a power
/// of two wide.
class WriteDensity {
 public:
  /// In one window more the guest wrote at `ratio` times the rate of the link.
  void add(double ratio);
  [[nodiscard]] bool empty() const { return windows_ == 0; }
  /// The guest wrote no faster than that in one window of ten: the upper end of the bin where the
  /// tenth of the windows with the fewest writes ends. 0 when empty.
  [[nodiscard]] double low() const;

 private:
  static constexpr std::size_t kBins = 40;

  std::array<std::uint32_t, kBins> bins_{};
  std::uint32_t windows_ = 0;  ///< in all bins
};

}  // namespace migration
