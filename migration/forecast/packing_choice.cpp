#include "migration/forecast/packing_choice.hpp"

#include <algorithm>

#include "migration/policy/compression_policy.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration::forecast {

namespace {

/// Bytes of pages, more than the policy looks at before it decides.
constexpr double kSent = 64e6;

/// Where it does not keep up with the link so many times over, windows in which Zstandard was
/// slower than LZ4 put that in its place for a while: of what is sent then so much goes by
/// Zstandard. Of 15 moves at 1 to 2 Gbit/s it was 0.1 to 0.9.
constexpr double kSteady = 2;
constexpr double kUnsteadyShare = 0.55;

Packing mixed(const Packing& lz4, const Packing& zstd, double share) {
  return {.page_bytes = share * zstd.page_bytes + (1 - share) * lz4.page_bytes,
          .rate = 1 / (share / zstd.rate + (1 - share) / lz4.rate)};
}

Packing slower(const Packing& packing, double speed) {
  return {packing.page_bytes, speed * packing.rate};
}

CompressionPolicy::Packed packed(const Packing& packing) {
  return {kSent * packing.page_bytes / vmm::kPageSize, kSent / packing.rate};
}

/// Decides as after the first probe, and as after a window by LZ4 and a comparison.
void measure(CompressionPolicy& policy, const Packing& lz4, const Packing& zstd, double shrinking,
             double link) {
  const auto by_lz4 = packed(lz4);
  const double out = shrinking * by_lz4.out + (1 - shrinking) * kSent;
  policy.probed(kSent, {out, by_lz4.seconds});
  if (!policy.compress()) return;
  const double write_seconds = std::max(0.0, by_lz4.out / link - by_lz4.seconds);
  policy.sent_compressed(kSent, by_lz4.out, by_lz4.seconds, write_seconds);
  if (policy.comparison_due()) policy.compared(kSent, by_lz4, packed(zstd));
}

}  // namespace

std::optional<Packing> packing_for(const GuestSample& sample, double shrinking,
                                   const Sending& sending, Compression wanted) {
  if (sample.lz4.rate == 0) return std::nullopt;
  const Packing lz4 = slower(sample.lz4, sending.speed);
  const Packing zstd = slower(sample.zstd, sending.speed);
  CompressionPolicy policy(wanted, sending.cap, true);
  if (sending.cap == 0) policy.sent_raw(kSent, kSent / sending.link);
  const double link = sending.cap == 0 ? sending.link : std::min(sending.link, sending.cap);
  if (wanted == Compression::automatic) measure(policy, lz4, zstd, shrinking, link);
  if (!policy.compress()) return std::nullopt;
  if (policy.format() == BlockFormat::lz4) return lz4;
  const double pages = link * vmm::kPageSize / zstd.page_bytes;  // bytes of them per second
  const bool steady = wanted == Compression::zstd || zstd.rate >= kSteady * pages;
  return mixed(lz4, zstd, steady ? 1 : kUnsteadyShare);
}

}  // namespace migration::forecast
