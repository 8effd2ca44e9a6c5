#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vmm/memory/guest_address.hpp"

namespace migration::forecast {

/// Which pages of a running guest are looked at, and in how many steps each of them changed: a pure
/// value. A page is known by its digest: so the guest runs on as it would, and a write of what is
/// there already is not seen.
class WriteSample {
 public:
  /// Pages that lie side by side.
  static constexpr std::uint64_t kPlacePages = 8;
  /// Such places, all over RAM, at most.
  static constexpr std::uint64_t kMostPlaces = 1024;

  /// Over `pages` pages of RAM, of which there are 64 or more.
  explicit WriteSample(std::uint64_t pages);

  /// What was seen of a page in the steps between two looks.
  struct Seen {
    vmm::PageIndex page = 0;
    std::uint16_t written = 0;      ///< steps in which it was
    std::uint16_t not_written = 0;  ///< and was not
  };
  /// In the order of their pages.
  [[nodiscard]] const std::vector<Seen>& seen() const { return seen_; }

  /// The digests of these pages, `seconds` after the last look; the first look only notes them.
  void looked(std::span<const std::uint64_t> digests, double seconds);
  /// The mean length of a step.
  [[nodiscard]] double step_seconds() const { return steps_ == 0 ? 0 : seconds_ / steps_; }

 private:
  std::vector<Seen> seen_;
  std::vector<std::uint64_t> digests_;
  unsigned steps_ = 0;
  double seconds_ = 0;
};

}  // namespace migration::forecast
