#include "migration/model/rated_guest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace migration::model {

RatedGuest::RatedGuest(const Profile& profile, std::uint64_t seed)
    : profile_(profile),
      random_(seed),
      next_write_(profile.pages.size(), std::numeric_limits<double>::infinity()),
      versions_(profile.pages.size()),
      armed_(profile.pages.size()) {
  for (vmm::PageIndex page = 0; page < pages(); ++page) {
    if (!profile.pages[page].touched) continue;
    versions_[page] = 1;
    ++used_;
  }
}

void RatedGuest::run_until(double seconds, unsigned throttle) {
  clock_ += std::max(0.0, seconds - until_) * (1 - throttle / 100.0);
  until_ = std::max(until_, seconds);
}

/// Of a Poisson process: the time to its next event does not depend on the past.
double RatedGuest::draw(vmm::PageIndex page) {
  const PageTraits& traits = profile_.pages[page];
  if (!traits.touched || traits.writes_per_second <= 0) {
    return std::numeric_limits<double>::infinity();
  }
  return clock_ - std::log(1 - random_.share()) / traits.writes_per_second;
}

vmm::PageSet RatedGuest::log() const {
  vmm::PageSet log(pages());
  for (std::size_t word = 0; word < log.word_count(); ++word) {
    const vmm::PageIndex first = word * 64;
    const std::uint64_t count = std::min<std::uint64_t>(64, pages() - first);
    std::uint64_t bits = 0;
    for (std::uint64_t bit = 0; bit < count; ++bit) {
      bits |= std::uint64_t{next_write_[first + bit] <= clock_} << bit;
    }
    const std::uint64_t all = count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    log.add_word(word, bits | (~armed_.word(word) & all));
  }
  return log;
}

void RatedGuest::clear(vmm::PageIndex page) {
  if (written(page)) {
    ++versions_[page];
  } else if (armed_.test(page)) {
    return;
  }
  armed_.set(page);
  next_write_[page] = draw(page);
}

void RatedGuest::clear(const vmm::PageSet& pages, vmm::PageRange range) {
  for (const vmm::PageRange& run : pages.ranges(range)) {
    for (vmm::PageIndex page = run.first; page < run.end(); ++page) clear(page);
  }
}

void RatedGuest::clear_touched(vmm::PageRange range, vmm::PageSet& touched) {
  for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
    clear(page);
    if (profile_.pages[page].touched) touched.set(page);
  }
}

void RatedGuest::watch_touches() {
  for (vmm::PageIndex page = 0; page < pages(); ++page) {
    const double when = draw(page);
    if (std::isfinite(when)) touches_.push_back({when, page});
  }
  std::ranges::sort(touches_, std::ranges::greater(), &Touch::when);
}

std::vector<vmm::PageIndex> RatedGuest::take_touched() {
  std::vector<vmm::PageIndex> touched;
  for (; !touches_.empty() && touches_.back().when <= clock_; touches_.pop_back()) {
    touched.push_back(touches_.back().page);
  }
  return touched;
}

}  // namespace migration::model
