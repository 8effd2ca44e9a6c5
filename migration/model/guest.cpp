#include "migration/model/guest.hpp"

#include <algorithm>

namespace migration::model {

namespace {

constexpr std::uint64_t kStretch = 64;  // pages

}  // namespace

Guest::Guest(const GuestShape& shape, std::uint64_t seed)
    : writer_(shape.writes, seed),
      versions_(shape.pages),
      zero_(shape.pages),
      touched_(shape.pages),
      log_(shape.pages) {
  log_.set(vmm::PageRange{0, shape.pages});
  Random random(~seed);
  for (vmm::PageIndex first = 0; first < shape.pages; first += kStretch) {
    if (random.share() >= shape.used) continue;
    const std::uint64_t count = std::min(kStretch, shape.pages - first);
    touched_.set(vmm::PageRange{first, count});
    for (vmm::PageIndex page = first; page < first + count; ++page) {
      versions_[page] = 1;
      zero_[page] = random.share() < shape.zero;
    }
  }
}

void Guest::run_until(double seconds, unsigned throttle) {
  const double due = std::max(due_, writer_.due(seconds));
  owed_ += (due - due_) * (1 - throttle / 100.0);
  due_ = due;
  for (; owed_ >= 1; --owed_) write(writer_.next());
}

void Guest::write(vmm::PageIndex page) {
  if (versions_[page] == 0) {
    touched_.set(page);
    ++versions_[page];
  }
  ++versions_[page];
  log_.set(page);
}

void Guest::clear(const vmm::PageSet& pages, vmm::PageRange range) {
  for (const vmm::PageRange& run : pages.ranges(range)) log_.reset(run);
}

void Guest::clear_touched(vmm::PageRange range, vmm::PageSet& touched) {
  log_.reset(range);
  for (const vmm::PageRange& run : touched_.ranges(range)) touched.set(run);
}

}  // namespace migration::model
