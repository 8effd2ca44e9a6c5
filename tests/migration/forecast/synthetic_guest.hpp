#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "migration/forecast/guest_sample.hpp"
#include "migration/model/rated_guest.hpp"

namespace migration::forecast {

inline constexpr std::uint64_t kRam = 1 << 18;  // pages

/// A guest that writes each page at the rate that `of` says, all of them used and none zero.
inline model::Profile guest_with(std::uint64_t pages,
                                 const std::function<double(vmm::PageIndex)>& of) {
  model::Profile profile;
  for (vmm::PageIndex page = 0; page < pages; ++page) {
    profile.pages.push_back({.touched = true, .writes_per_second = static_cast<float>(of(page))});
  }
  return profile;
}

/// What a look of a second at it sees.
inline GuestSample look_at(const model::Profile& profile, std::uint64_t seed = 1) {
  constexpr double kStep = 0.025;
  constexpr unsigned kSteps = 40;
  const std::uint64_t pages = profile.pages.size();
  model::RatedGuest guest(profile, seed);
  WriteSample writes(pages);
  guest.clear(writes.begin(), {0, pages});
  for (unsigned step = 1; step <= kSteps; ++step) {
    guest.run_until(step * kStep, 0);
    guest.clear(writes.looked(guest.log(), kStep), {0, pages});
  }
  GuestSample sample;
  sample.touched = vmm::PageSet(pages);
  sample.touched.set(vmm::PageRange{0, pages});
  sample.writes = writes.seen();
  sample.kinds.assign(sample.writes.size(), ContentSample::Kind::random);
  sample.step_seconds = writes.step_seconds();
  sample.faults = writes.faults();
  return sample;
}

}  // namespace migration::forecast
