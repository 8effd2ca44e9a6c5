#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "migration/model/scenario.hpp"

namespace migration::model {

/// Random numbers that are the same with every standard library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// From 0 to below `end`, which is not 0.
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }
  /// From 0 to below 1.
  double share() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

 private:
  std::mt19937_64 engine_;
};

/// The pages that a guest writes, one after the other.
class Writer {
 public:
  Writer(const WritePattern& pattern, std::uint64_t seed);

  [[nodiscard]] vmm::PageIndex next();
  /// Writes from the start up to `seconds`, by a guest that is not slowed.
  [[nodiscard]] double due(double seconds) const;

 private:
  [[nodiscard]] std::uint64_t next_in_region();

  WritePattern pattern_;
  Random random_;
  std::uint64_t hot_ = 0;      ///< pages
  std::uint64_t swept_ = 0;    ///< pages
  std::vector<double> up_to_;  ///< with zipf: the sum of the weights up to each page
};

}  // namespace migration::model
