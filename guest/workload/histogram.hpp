#pragma once

#include <cstddef>
#include <cstdint>

namespace guest {

/// Counts of numbers (TSC intervals, here) in buckets that grow with them: 16 to each power of two,
/// so that a bucket is at most a sixteenth of its numbers wide; numbers below 16 have one each.
class Histogram {
 public:
  void clear();
  void add(std::uint64_t value);
  void add(const Histogram& other);

  std::uint64_t count() const { return count_; }
  std::uint64_t largest() const { return largest_; }  ///< exact; 0 where there is none

  /// How many numbers are in the bucket of `least` or above.
  std::uint64_t count_from(std::uint64_t least) const;

  /// The middle of the bucket below or in which `percent` of all numbers lie that count_from(least)
  /// counts, but never more than the largest of them; 0 where there is none.
  std::uint64_t percentile(std::uint64_t percent, std::uint64_t least = 0) const;

 private:
  static constexpr int kSubBits = 4;
  static constexpr std::size_t kSubBuckets = 1 << kSubBits;
  static constexpr int kMostBits = 42;  // larger ones, an hour and a half, are in the last bucket
  static constexpr std::size_t kBuckets = (kMostBits - kSubBits + 1) * kSubBuckets;

  static std::size_t bucket(std::uint64_t value);
  static std::uint64_t middle(std::size_t bucket);

  std::uint64_t count_ = 0;
  std::uint64_t largest_ = 0;
  std::uint32_t buckets_[kBuckets] = {};
};

}  // namespace guest
