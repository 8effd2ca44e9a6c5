#include "migration/base/latency_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace migration {

void LatencyHistogram::add(double us) {
  ++count_;
  max_ = std::max(max_, us);
  if (us < 1) {
    ++below_;
    return;
  }
  const auto doubling = static_cast<std::size_t>(std::ilogb(us));
  if (doubling >= kDoublings) {
    ++counts_.back();
    return;
  }
  const double part = (std::ldexp(us, -static_cast<int>(doubling)) - 1) * kParts;
  ++counts_[doubling * kParts + static_cast<std::size_t>(part)];
}

double LatencyHistogram::percentile(double percent) const {
  // 99.9 % of 1000 is 999, and not the 1000 that a rounding error would make of it.
  const double exact = percent / 100 * static_cast<double>(count_);
  const auto rank = static_cast<std::uint64_t>(std::max(1.0, std::ceil(exact * (1 - 1e-12))));
  if (rank >= count_) return max_;
  std::uint64_t seen = below_;
  if (seen >= rank) return std::min(0.5, max_);
  std::size_t at = 0;
  while ((seen += counts_[at]) < rank) ++at;
  const double middle = 1 + (static_cast<double>(at % kParts) + 0.5) / kParts;
  return std::min(std::ldexp(middle, static_cast<int>(at / kParts)), max_);
}

std::vector<LatencyHistogram::Bucket> LatencyHistogram::buckets() const {
  std::vector<Bucket> result;
  const auto append = [&](double upper, std::uint64_t count) {
    if (count > 0 || !result.empty()) result.push_back({upper, count});
  };
  append(1, below_);
  for (std::size_t doubling = 0; doubling < kDoublings; ++doubling) {
    const auto* const first = counts_.data() + doubling * kParts;
    append(std::ldexp(1.0, static_cast<int>(doubling) + 1),
           std::accumulate(first, first + kParts, std::uint64_t{0}));
  }
  while (!result.empty() && result.back().count == 0) result.pop_back();
  return result;
}

}  // namespace migration
