#include "migration/model/guest.hpp"

#include <algorithm>
#include <utility>

#include "migration/model/rated_guest.hpp"

namespace migration::model {

namespace {

constexpr std::uint64_t kStretch = 64;  // pages

}  // namespace

WritingGuest::WritingGuest(const GuestShape& shape, std::uint64_t seed)
    : writer_(shape.writes, seed),
      page_bytes_(shape.page_bytes),
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

void WritingGuest::run_until(double seconds, unsigned throttle) {
  const double due = std::max(due_, writer_.due(seconds));
  owed_ += (due - due_) * (1 - throttle / 100.0);
  due_ = due;
  for (; owed_ >= 1; --owed_) write(writer_.next());
}

void WritingGuest::write(vmm::PageIndex page) {
  if (versions_[page] == 0) {
    touched_.set(page);
    ++versions_[page];
  }
  ++versions_[page];
  log_.set(page);
  if (watched_) newly_written_.push_back(page);
}

void WritingGuest::clear(const vmm::PageSet& pages, vmm::PageRange range) {
  for (const vmm::PageRange& run : pages.ranges(range)) log_.reset(run);
}

void WritingGuest::clear_touched(vmm::PageRange range, vmm::PageSet& touched) {
  log_.reset(range);
  for (const vmm::PageRange& run : touched_.ranges(range)) touched.set(run);
}

std::vector<vmm::PageIndex> WritingGuest::take_touched() {
  return std::exchange(newly_written_, {});
}

std::unique_ptr<Guest> make_guest(const Scenario& scenario) {
  if (scenario.profile) return std::make_unique<RatedGuest>(*scenario.profile, scenario.seed);
  return std::make_unique<WritingGuest>(scenario.guest, scenario.seed);
}

}  // namespace migration::model
