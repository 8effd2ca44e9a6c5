#include "migration/forecast/write_sample.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace migration::forecast {

namespace {

/// What the first write to a protected page takes a vCPU where that is slow.
constexpr double kFaultSeconds = 40e-6;
/// If all of them are written at once, the guest stands still for 5 ms.
constexpr std::uint64_t kFirstPlaces = 16;

/// Of `count` places the n-th to be watched: any number of the first ones are about even over RAM.
std::uint64_t nth(std::uint64_t n, std::uint64_t count) {
  auto step = static_cast<std::uint64_t>(0.618 * static_cast<double>(count)) | 1;
  while (std::gcd(step, count) != 1) step += 2;
  return n * step % count;
}

std::uint64_t scattered(std::uint64_t number) {
  number = (number + 1) * 0x9e3779b97f4a7c15;
  return number ^ (number >> 29);
}

}  // namespace

WriteSample::WriteSample(std::uint64_t pages) : pages_(pages) {
  assert(pages >= 64);
  const std::uint64_t places = std::min(kMostPlaces, pages / (2 * kPlacePages));
  for (std::uint64_t place = 0; place < places; ++place) {
    // At no regular distance, as what a guest writes may be at one.
    const vmm::PageIndex start = place * pages / places;
    const std::uint64_t room = (place + 1) * pages / places - start - kPlacePages;
    const vmm::PageIndex first = start + scattered(place) % (room + 1);
    for (std::uint64_t i = 0; i < kPlacePages; ++i) seen_.push_back({.page = first + i});
  }
  watched_.resize(seen_.size());
}

void WriteSample::watch_more(std::uint64_t places, vmm::PageSet& clear) {
  for (const std::uint64_t end = std::min(begun_ + places, this->places()); begun_ < end; ++begun_) {
    const std::uint64_t first = nth(begun_, this->places()) * kPlacePages;
    for (std::uint64_t i = first; i < first + kPlacePages; ++i) {
      watched_[i] = true;
      clear.set(seen_[i].page);
    }
    watched_now_ += kPlacePages;
  }
}

vmm::PageSet WriteSample::begin() {
  vmm::PageSet clear(pages_);
  watch_more(kFirstPlaces, clear);
  return clear;
}

vmm::PageSet WriteSample::looked(const vmm::PageSet& log, double seconds) {
  vmm::PageSet clear(pages_);
  ++steps_;
  seconds_ += seconds;
  const std::uint64_t watched = watched_now_;
  const auto affordable = static_cast<std::uint64_t>(kMostShare * seconds_ / kFaultSeconds) + 1;
  std::uint64_t written = 0;
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    if (!watched_[i]) continue;
    if (!log.test(seen_[i].page)) {
      ++seen_[i].not_written;
      continue;
    }
    ++seen_[i].written;
    ++written;
    if (++faults_ <= affordable) {
      clear.set(seen_[i].page);
    } else {
      watched_[i] = false;
      --watched_now_;
    }
  }
  // Twice as many as long as these would still be affordable.
  const double share =
      static_cast<double>(written + 1) / static_cast<double>(std::max<std::uint64_t>(watched, 1));
  const double each_step = kMostShare * step_seconds() / kFaultSeconds;
  const double most = std::min(each_step / share, 2.0 * static_cast<double>(watched));
  if (faults_ < affordable && most > static_cast<double>(watched_now_)) {
    watch_more((static_cast<std::uint64_t>(most) - watched_now_) / kPlacePages, clear);
  }
  return clear;
}

}  // namespace migration::forecast
