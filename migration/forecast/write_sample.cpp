#include "migration/forecast/write_sample.hpp"

#include <algorithm>
#include <cassert>

namespace migration::forecast {

namespace {

std::uint64_t scattered(std::uint64_t number) {
  number = (number + 1) * 0x9e3779b97f4a7c15;
  return number ^ (number >> 29);
}

}  // namespace

WriteSample::WriteSample(std::uint64_t pages) {
  assert(pages >= 64);
  const std::uint64_t places = std::min(kMostPlaces, pages / (2 * kPlacePages));
  for (std::uint64_t place = 0; place < places; ++place) {
    // At no regular distance, as what a guest writes may be at one.
    const vmm::PageIndex start = place * pages / places;
    const std::uint64_t room = (place + 1) * pages / places - start - kPlacePages;
    const vmm::PageIndex first = start + scattered(place) % (room + 1);
    for (std::uint64_t i = 0; i < kPlacePages; ++i) seen_.push_back({.page = first + i});
  }
}

void WriteSample::looked(std::span<const std::uint64_t> digests, double seconds) {
  assert(digests.size() == seen_.size());
  if (!digests_.empty()) {
    ++steps_;
    seconds_ += seconds;
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      ++(digests[i] == digests_[i] ? seen_[i].not_written : seen_[i].written);
    }
  }
  digests_.assign(digests.begin(), digests.end());
}

}  // namespace migration::forecast
