#include "migration/postcopy/missing_pages.hpp"

#include <algorithm>

#include "migration/base/elapsed.hpp"

namespace migration {

MissingPages::MissingPages(std::uint64_t pages) : expected_(pages), missing_(pages) {}

std::vector<vmm::PageRange> MissingPages::add(std::span<const vmm::PageRange> pages) {
  std::vector<vmm::PageRange> added;
  for (const vmm::PageRange& range : pages) {
    const std::uint64_t count = range.count - missing_.count(range);
    if (count == 0) continue;
    left_ += count;
    missing_.put(range);
    expected_.put(range);
    added.push_back(range);
  }
  return added;
}

MissingPages::Arrival MissingPages::mark_installed(vmm::PageRange range) {
  const auto now = Clock::now();
  std::vector<vmm::PageRange> taken;
  missing_.extract(range, taken);
  Arrival arrival;
  {
    const vmm::Lock lock(mutex_);
    std::erase_if(waiting_, [&](const Waiting& waiting) FERRY_REQUIRES(mutex_) {
      if (waiting.page < range.first || waiting.page >= range.end()) return false;
      latencies_.add(1000 * ms_between(waiting.since, now));
      arrival.awaited.push_back(waiting.page);
      return true;
    });
  }
  const std::uint64_t count = vmm::count_pages(taken);
  arrival.last = count > 0 && left_.fetch_sub(count) == count;
  return arrival;
}

MissingPages::Wait MissingPages::wait_for(vmm::PageIndex page) {
  if (!missing_.test(page)) return Wait::none;
  const auto now = Clock::now();
  const vmm::Lock lock(mutex_);
  // It may have been installed meanwhile. Whoever did so looks, under this lock, for who waits.
  if (!missing_.test(page)) return Wait::none;
  if (std::ranges::find(waiting_, page, &Waiting::page) != waiting_.end()) return Wait::again;
  waiting_.push_back({page, now, now});
  return Wait::first;
}

std::optional<MissingPages::Clock::time_point> MissingPages::asked(vmm::PageIndex page) const {
  const vmm::Lock lock(mutex_);
  const auto waiting = std::ranges::find(waiting_, page, &Waiting::page);
  if (waiting == waiting_.end()) return std::nullopt;
  return waiting->asked;
}

std::vector<vmm::PageIndex> MissingPages::ask_again() {
  std::vector<vmm::PageIndex> pages;
  const vmm::Lock lock(mutex_);
  for (Waiting& waiting : waiting_) {
    waiting.asked = Clock::now();
    pages.push_back(waiting.page);
  }
  return pages;
}

bool MissingPages::waits_longer_than(std::chrono::milliseconds time) const {
  const vmm::Lock lock(mutex_);
  return std::ranges::any_of(
      waiting_, [&](const Waiting& waiting) { return Clock::now() - waiting.asked > time; });
}

std::vector<vmm::PageIndex> MissingPages::forget_waiting() {
  std::vector<vmm::PageIndex> pages;
  const vmm::Lock lock(mutex_);
  for (const Waiting& waiting : waiting_) pages.push_back(waiting.page);
  waiting_.clear();
  return pages;
}

LatencyHistogram MissingPages::latencies() const {
  const vmm::Lock lock(mutex_);
  return latencies_;
}

}  // namespace migration
