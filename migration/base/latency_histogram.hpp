#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace migration {

/// Latencies in bounded memory, however many they are: buckets double 36 times from 1 us on, each
/// doubling parted into 16, so that what is read from a bucket's middle is at most 1/32 wrong
/// (above 1 us, and below 19 hours).
class LatencyHistogram {
 public:
  struct Bucket {
    double upper_us = 0;  ///< exclusive
    std::uint64_t count = 0;
    bool operator==(const Bucket&) const = default;
  };

  /// 0 us or more.
  void add(double us);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// The exact greatest one; 0 when there is none.
  [[nodiscard]] double max() const { return max_; }
  /// What `percent` (0 to 100) of the latencies do not exceed, by the nearest rank; 0 when there is
  /// none.
  [[nodiscard]] double percentile(double percent) const;
  /// For a report: buckets that end at powers of two, each beginning where the one before ends. The
  /// first and the last one given are not empty.
  [[nodiscard]] std::vector<Bucket> buckets() const;

 private:
  static constexpr std::size_t kDoublings = 36;
  static constexpr std::size_t kParts = 16;

  std::uint64_t count_ = 0;
  double max_ = 0;
  std::uint64_t below_ = 0;  ///< less than 1 us
  std::array<std::uint64_t, kDoublings * kParts> counts_{};
};

}  // namespace migration
