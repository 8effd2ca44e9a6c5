#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "migration/forecast/content_sample.hpp"
#include "migration/forecast/write_sample.hpp"
#include "migration/model/profile.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration::forecast {

/// What was seen of a guest in about a second.
struct GuestSample {
  vmm::PageSet touched;                    ///< of all its RAM: ever
  std::vector<WriteSample::Seen> writes;   ///< of some pages, in order
  std::vector<ContentSample::Kind> kinds;  ///< of the same
  double step_seconds = 0;
  Packing lz4, zstd;         ///< of pages that shrink
  double delta_bytes = 0;    ///< of the difference of a page that was written; 0: not known
  double delta_seconds = 0;  ///< that it takes to make it
  double duplicates = 0;     ///< share of the pages that are not zero
  /// What differs from the image that another host keeps, if one does.
  std::optional<vmm::PageSet> changed;
};

/// What the model can take: all pages of the guest, those that were not looked at as those near
/// them that were. Those that shrink take `shrunk_bytes`.
[[nodiscard]] model::Profile profile_of(const GuestSample& sample, double shrunk_bytes);
/// What differs, by the pages of that profile.
[[nodiscard]] vmm::PageSet thinned(const vmm::PageSet& pages);
/// How many pages one of the profile stands for.
[[nodiscard]] std::uint64_t pages_for_one(std::uint64_t pages);

/// Pages that are written within so many seconds.
[[nodiscard]] double pages_written(const model::Profile& profile, double seconds);

}  // namespace migration::forecast
