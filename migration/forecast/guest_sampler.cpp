#include "migration/forecast/guest_sampler.hpp"

#include <algorithm>
#include <utility>

#include "migration/base/elapsed.hpp"

namespace migration::forecast {

namespace {

constexpr unsigned kSteps = 40;
/// What is looked up at a time to find what was touched: 256 MiB, a millisecond or two.
constexpr std::uint64_t kLookUpPages = 65536;

}  // namespace

GuestSampler::GuestSampler(vmm::DirtyLog& log, const vmm::GuestMemory& memory, Taken taken)
    : log_(log),
      memory_(memory),
      taken_(std::move(taken)),
      log_was_on_(log.active()),
      writes_(memory.page_count()),
      start_(Clock::now()),
      last_(start_) {
  sample_.touched = vmm::PageSet(memory.page_count());
  if (!log_was_on_) log_.start();
  take_out(writes_.begin());
}

GuestSampler::~GuestSampler() {
  if (!log_was_on_) log_.stop();
}

/// Nothing is read of these pages: what is written from now on counts, and for who else reads the
/// log, what was written before.
void GuestSampler::take_out(const vmm::PageSet& pages) {
  if (log_was_on_ && taken_) {
    vmm::PageSet written = log_.read();
    written &= pages;
    taken_(written);
  }
  log_.clear(pages, {0, memory_.page_count()});
}

bool GuestSampler::step() {
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  const vmm::PageSet more = writes_.looked(log_.read(), seconds);
  if (++steps_ == kSteps) {
    while (looked_ < memory_.page_count()) look_for_touched();
    while (content_seen_ < writes_.seen().size()) look_at_content();
    return false;
  }
  take_out(more);
  if (looked_ < memory_.page_count()) {
    look_for_touched();
  } else {
    look_at_content();
  }
  return true;
}

void GuestSampler::look_for_touched() {
  const vmm::PageRange range{looked_, std::min(kLookUpPages, memory_.page_count() - looked_)};
  memory_.add_populated(range, sample_.touched);
  looked_ = range.end();
}

void GuestSampler::look_at_content() {
  const std::vector<WriteSample::Seen>& pages = writes_.seen();
  const std::size_t end = std::min(content_seen_ + pages.size() / kSteps + 1, pages.size());
  for (; content_seen_ < end; ++content_seen_) {
    const vmm::PageIndex page = pages[content_seen_].page;
    // What was given back to the host meanwhile reads as zero.
    sample_.kinds.push_back(sample_.touched.test(page) ? content_.look(memory_.pages({page, 1}))
                                                       : ContentSample::Kind::untouched);
  }
}

GuestSample GuestSampler::take() {
  sample_.writes = writes_.seen();
  sample_.step_seconds = writes_.step_seconds();
  sample_.shrunk_bytes = content_.shrunk_bytes();
  sample_.pack_rate = content_.pack_rate();
  sample_.duplicates = content_.data() == 0 ? 0
                                            : static_cast<double>(content_.duplicates()) /
                                                  static_cast<double>(content_.data());
  sample_.faults = writes_.faults();
  sample_.seconds = seconds_since(start_);
  return std::move(sample_);
}

}  // namespace migration::forecast
