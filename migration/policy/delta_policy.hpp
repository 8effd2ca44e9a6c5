#pragma once

#include <cstddef>
#include <cstdint>

#include "migration/base/options.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration {

/// A delta that is larger than this is not worth its base: the page goes as any other.
inline constexpr std::size_t kWorthDelta = vmm::kPageSize / 2;
/// What is done with a page takes microseconds. Where it took longer, the processor was another's.
inline constexpr double kInterrupted = 50e-6;

/// The bytes of bases that the source keeps of a guest with so much RAM.
[[nodiscard]] std::uint64_t delta_cache_bytes(const MigrateOptions& options, std::uint64_t ram);

/// Decides, for one channel and from what it measured, whether pages that are sent again go as
/// their difference: by the criterion of CompressionPolicy. To make a delta must take less time
/// than the page takes on the wire, and the delta must be smaller.
///
/// To keep the bases costs time before there is any delta to measure. So a speed is assumed until
/// then; and where deltas proved not to pay, pages are passed over for a while that doubles.
class DeltaPolicy {
 public:
  /// `link`: bytes per second that the channel carries, as far as is known; else infinity.
  [[nodiscard]] bool pays(double link) const;

  /// A delta was made, of so many bytes into so many. Of one that is not worth sending, `out` is
  /// `in`.
  void tried(double in, double out, double seconds);
  /// A page that had been sent before has gone without a try.
  void passed_over(double bytes);

 private:
  static constexpr double kAssumedSpeed = 400e6;

  double speed_ = kAssumedSpeed;  ///< input bytes per second
  double ratio_ = 0;
  double to_pass_over_ = 0;  ///< bytes
  double penalty_ = 0;       ///< bytes that were to be, the last time
  struct Window {
    double in = 0, out = 0, seconds = 0;
  } window_;
};

}  // namespace migration
