#pragma once

#include <cstdint>
#include <functional>
#include <vector>

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
  constexpr double kStep = 0.05;
  constexpr unsigned kSteps = 20;
  const std::uint64_t pages = profile.pages.size();
  model::RatedGuest guest(profile, seed);
  WriteSample writes(pages);
  std::vector<std::uint64_t> versions(writes.seen().size());
  vmm::PageSet all(pages);
  guest.clear_touched({0, pages}, all);
  for (unsigned step = 0; step <= kSteps; ++step) {
    guest.run_until(step * kStep, 0);
    for (std::size_t i = 0; i < versions.size(); ++i) {
      versions[i] = guest.version(writes.seen()[i].page);
    }
    guest.clear(guest.log(), {0, pages});
    writes.looked(versions, kStep);
  }
  GuestSample sample;
  sample.touched = vmm::PageSet(pages);
  sample.touched.set(vmm::PageRange{0, pages});
  sample.writes = writes.seen();
  sample.kinds.assign(sample.writes.size(), ContentSample::Kind::random);
  sample.step_seconds = writes.step_seconds();
  return sample;
}

}  // namespace migration::forecast
