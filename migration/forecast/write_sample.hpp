#pragma once

#include <cstdint>
#include <vector>

#include "vmm/memory/page_set.hpp"

namespace migration::forecast {

/// Which pages of a running guest are watched for writes, and what was seen of each: a pure value.
///
/// A write to a watched page costs the guest a fault, so they are few at first, and become more
/// while the faults take no more than kMostShare of its time. A page that was written is watched
/// again at once, unless that would be too much.
class WriteSample {
 public:
  /// Pages that lie side by side.
  static constexpr std::uint64_t kPlacePages = 8;
  /// Such places, evenly spread over RAM, at most.
  static constexpr std::uint64_t kMostPlaces = 1024;
  /// Of a guest's time, to be taken by faults.
  static constexpr double kMostShare = 0.03;

  /// Over `pages` pages of RAM, of which there are 64 or more.
  explicit WriteSample(std::uint64_t pages);

  /// The pages to take out of the dirty log first.
  [[nodiscard]] vmm::PageSet begin();
  /// What the log has, `seconds` after the last look or after `begin`. The pages to take out of it
  /// now: some that were written, and some that are watched from now on.
  [[nodiscard]] vmm::PageSet looked(const vmm::PageSet& log, double seconds);

  /// What was seen of a page in the steps between two looks.
  struct Seen {
    vmm::PageIndex page = 0;
    std::uint16_t written = 0;      ///< steps in which it was
    std::uint16_t not_written = 0;  ///< and was not
  };
  /// In the order of their pages; one that was never watched is among them.
  [[nodiscard]] const std::vector<Seen>& seen() const { return seen_; }
  /// The mean length of a step.
  [[nodiscard]] double step_seconds() const { return steps_ == 0 ? 0 : seconds_ / steps_; }
  /// Faults that it has cost the guest.
  [[nodiscard]] std::uint64_t faults() const { return faults_; }

 private:
  [[nodiscard]] std::uint64_t places() const { return seen_.size() / kPlacePages; }
  void watch_more(std::uint64_t places, vmm::PageSet& clear);

  std::uint64_t pages_;
  std::vector<Seen> seen_;
  std::vector<bool> watched_;      ///< by the index in seen_
  std::uint64_t begun_ = 0;        ///< places that were ever watched
  std::uint64_t watched_now_ = 0;  ///< pages
  std::uint64_t faults_ = 0;
  unsigned steps_ = 0;
  double seconds_ = 0;
};

}  // namespace migration::forecast
