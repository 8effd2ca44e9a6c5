#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "migration/pages/page_codec.hpp"

namespace migration::forecast {

/// What the pages that a guest writes take as the difference from what they were, by the codec and
/// the bounds of PageSender.
class DeltaSample {
 public:
  /// One more, as it is at first.
  void keep(std::span<const std::byte> page);
  /// The n-th of these, as it is later.
  void look(std::size_t n, std::span<const std::byte> page);

  /// Pages that were written; of few of them nothing is told.
  [[nodiscard]] bool tells() const { return written_ >= kFewest; }
  /// Of the difference of a page.
  [[nodiscard]] double bytes() const { return bytes_ / static_cast<double>(written_); }
  /// That it takes to make it, where nobody else takes the processor.
  [[nodiscard]] double seconds() const { return seconds_ / static_cast<double>(written_); }

 private:
  static constexpr std::size_t kFewest = 8;

  PageCodec codec_;
  std::vector<std::byte> kept_;
  std::size_t written_ = 0;
  double bytes_ = 0, seconds_ = 0;
};

}  // namespace migration::forecast
