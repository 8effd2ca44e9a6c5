#include "migration/forecast/probe_tally.hpp"

#include <algorithm>
#include <cassert>

#include "migration/wire/format.hpp"

namespace migration::forecast {

namespace {

constexpr double kProbeSeconds = 0.25;
/// Answers that were read at once after a delay here tell nothing of the link.
constexpr double kLeastJudged = 0.01;
/// Of the frames that landed: 1 in so many is of the start.
constexpr std::size_t kStartShare = 3;
/// Frames under way: enough for 100 MB/s and a round trip of 40 ms.
constexpr std::size_t kWindow = 64;
constexpr std::size_t kFirstSize = std::size_t{4} << 10;
constexpr std::size_t kOfEachSize = 8;

/// Of the n-th frame.
std::size_t size_of(std::size_t n) {
  std::size_t size = kFirstSize;
  for (; n >= kOfEachSize && size < wire::kMaxProbeFrame; n -= kOfEachSize) size *= 2;
  return std::min(size, wire::kMaxProbeFrame);
}

}  // namespace

std::optional<std::size_t> ProbeTally::next(double now) {
  const std::size_t size = size_of(frames_.size());
  const bool more = now < kProbeSeconds || !tells() || judged_seconds() < kLeastJudged;
  if (!more || size > bytes_left_ || frames_.size() - landed_ == kWindow) return std::nullopt;
  bytes_left_ -= size;
  frames_.push_back({.bytes = size});
  return size;
}

void ProbeTally::landed(double now) {
  assert(under_way());
  frames_[landed_++].landed = now;
}

std::size_t ProbeTally::last_of_start() const { return landed_ / kStartShare; }

double ProbeTally::judged_seconds() const {
  return frames_[landed_ - 1].landed - frames_[last_of_start()].landed;
}

double ProbeTally::bytes_per_second() const {
  assert(tells());
  double bytes = 0;
  for (std::size_t i = last_of_start() + 1; i < landed_; ++i) {
    bytes += static_cast<double>(frames_[i].bytes);
  }
  return std::max(1.0, bytes / std::max(judged_seconds(), 1e-6));
}

}  // namespace migration::forecast
