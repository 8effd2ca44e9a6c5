#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace migration::forecast {

/// What to send over a link to learn what it carries, and what that tells: a pure value. The times
/// are seconds since the first frame was sent.
///
/// The first frames are small, so that some of them land in time over a slow link; and many are
/// under way at once, so that a long link is kept busy.
class ProbeTally {
 public:
  /// `bytes`: that may be sent in all.
  explicit ProbeTally(std::uint64_t bytes) : bytes_left_(bytes) {}

  /// How many bytes to send now in one more frame, which then counts as sent; nothing: none, or
  /// none before another one has landed.
  [[nodiscard]] std::optional<std::size_t> next(double now);
  [[nodiscard]] bool under_way() const { return landed_ < frames_.size(); }
  /// The oldest of those has landed.
  void landed(double now);

  /// Enough has landed to tell the rate.
  [[nodiscard]] bool tells() const { return landed_ >= kFewest; }
  /// Of the link, where it tells it.
  [[nodiscard]] double bytes_per_second() const;

 private:
  static constexpr std::size_t kFewest = 3;

  /// The newest that is not judged: a link gathers speed for a while.
  [[nodiscard]] std::size_t last_of_start() const;
  [[nodiscard]] double judged_seconds() const;

  struct Frame {
    std::size_t bytes = 0;
    double landed = 0;
  };
  std::uint64_t bytes_left_;
  std::vector<Frame> frames_;  ///< in the order in which they were sent, and land
  std::size_t landed_ = 0;     ///< of these
};

}  // namespace migration::forecast
