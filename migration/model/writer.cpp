#include "migration/model/writer.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace migration::model {

Writer::Writer(const WritePattern& pattern, std::uint64_t seed) : pattern_(pattern), random_(seed) {
  const std::uint64_t pages = pattern_.region.count;
  assert(pages > 0 && pattern_.busy_seconds > 0);
  hot_ = static_cast<std::uint64_t>(pattern_.hot_share * static_cast<double>(pages));
  hot_ = std::clamp<std::uint64_t>(hot_, 1, pages);
  if (pattern_.where != WritePattern::Where::zipf) return;
  double sum = 0;
  for (std::uint64_t page = 0; page < pages; ++page) {
    sum += std::pow(static_cast<double>(page + 1), -pattern_.exponent);
    up_to_.push_back(sum);
  }
}

vmm::PageIndex Writer::next() { return pattern_.region.first + next_in_region(); }

std::uint64_t Writer::next_in_region() {
  const std::uint64_t pages = pattern_.region.count;
  switch (pattern_.where) {
    case WritePattern::Where::uniform: return random_.below(pages);
    case WritePattern::Where::hot_cold:
      return random_.share() < pattern_.hot_writes ? random_.below(hot_) : random_.below(pages);
    case WritePattern::Where::sweep: return swept_++ % pages;
    case WritePattern::Where::zipf: break;
  }
  const double at = random_.share() * up_to_.back();
  const auto page = std::upper_bound(up_to_.begin(), up_to_.end(), at) - up_to_.begin();
  return std::min(static_cast<std::uint64_t>(page), pages - 1);
}

double Writer::due(double seconds) const {
  const double cycle = pattern_.busy_seconds + pattern_.quiet_seconds;
  const double cycles = std::floor(seconds / cycle);
  const double within = seconds - cycles * cycle;
  return pattern_.per_second *
         (cycles * pattern_.busy_seconds + std::min(within, pattern_.busy_seconds));
}

}  // namespace migration::model
