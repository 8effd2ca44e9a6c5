#include "guest/workload/histogram.hpp"

namespace guest {

std::size_t Histogram::bucket(std::uint64_t value) {
  if (value < kSubBuckets) return value;
  if (value >> kMostBits != 0) return kBuckets - 1;
  const int shift = 63 - __builtin_clzll(value) - kSubBits;
  return static_cast<std::size_t>(shift) * kSubBuckets + (value >> shift);
}

std::uint64_t Histogram::middle(std::size_t bucket) {
  if (bucket < 2 * kSubBuckets) return bucket;
  const std::size_t shift = bucket / kSubBuckets - 1;
  const std::uint64_t least = (bucket % kSubBuckets + kSubBuckets) << shift;
  return least + ((std::uint64_t{1} << shift) >> 1);
}

void Histogram::clear() {
  count_ = 0;
  largest_ = 0;
  for (std::uint32_t& bucket : buckets_) bucket = 0;
}

void Histogram::add(std::uint64_t value) {
  ++buckets_[bucket(value)];
  ++count_;
  if (value > largest_) largest_ = value;
}

void Histogram::add(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  if (other.largest_ > largest_) largest_ = other.largest_;
}

std::uint64_t Histogram::count_from(std::uint64_t least) const {
  std::uint64_t count = 0;
  for (std::size_t i = bucket(least); i < kBuckets; ++i) count += buckets_[i];
  return count;
}

std::uint64_t Histogram::percentile(std::uint64_t percent, std::uint64_t least) const {
  const std::uint64_t all = count_from(least);
  if (all == 0) return 0;
  std::uint64_t wanted = (all * percent + 99) / 100;
  if (wanted == 0) wanted = 1;
  std::size_t i = bucket(least);
  for (std::uint64_t seen = buckets_[i]; seen < wanted; seen += buckets_[i]) ++i;
  const std::uint64_t value = middle(i);
  return value < largest_ ? value : largest_;
}

}  // namespace guest
