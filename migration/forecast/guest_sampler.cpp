#include "migration/forecast/guest_sampler.hpp"

#include <algorithm>
#include <utility>

#include "migration/base/page_content.hpp"

namespace migration::forecast {

namespace {

/// From one look for writes to the next, and how many there are after the first.
constexpr std::chrono::milliseconds kStep{50};
constexpr unsigned kSteps = 20;
/// For others that use this thread, between steps that look for pages that were touched.
constexpr std::chrono::milliseconds kBreath{1};
/// What is looked up at a time to find those: 256 MiB, a millisecond or two.
constexpr std::uint64_t kLookUpPages = 65536;
/// Of the pages of the sample: of so many one is kept as it is at first.
constexpr std::size_t kBaseOneIn = 16;

}  // namespace

GuestSampler::GuestSampler(const vmm::GuestMemory& memory)
    : memory_(memory), writes_(memory.page_count()) {
  sample_.touched = vmm::PageSet(memory.page_count());
  digests_.resize(writes_.seen().size());
}

std::optional<GuestSampler::Clock::duration> GuestSampler::step() {
  if (looked_ < memory_.page_count()) {
    look_for_touched();
    return kBreath;
  }
  look_for_writes();
  if (looks_ == 0) {
    keep_bases();
  } else {
    look_at_content();
  }
  if (looks_++ == kSteps) {
    look_at_deltas();
    return std::nullopt;
  }
  return std::max<Clock::duration>(last_ + kStep - Clock::now(), kBreath);
}

void GuestSampler::look_for_touched() {
  const vmm::PageRange range{looked_, std::min(kLookUpPages, memory_.page_count() - looked_)};
  memory_.add_populated(range, sample_.touched);
  looked_ = range.end();
}

void GuestSampler::look_for_writes() {
  const auto now = Clock::now();
  const std::vector<WriteSample::Seen>& pages = writes_.seen();
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (!sample_.touched.test(pages[i].page)) continue;
    digests_[i] = digest_of(memory_.pages({pages[i].page, 1}));
  }
  const auto before = std::exchange(last_, now);
  writes_.looked(digests_, std::chrono::duration<double>(now - before).count());
}

/// A part of the pages each time.
void GuestSampler::look_at_content() {
  const std::vector<WriteSample::Seen>& pages = writes_.seen();
  const std::size_t end = pages.size() * looks_ / kSteps;
  for (std::size_t i = sample_.kinds.size(); i < end; ++i) {
    sample_.kinds.push_back(sample_.touched.test(pages[i].page)
                                ? content_.look(memory_.pages({pages[i].page, 1}))
                                : ContentSample::Kind::untouched);
  }
}

void GuestSampler::keep_bases() {
  const std::vector<WriteSample::Seen>& pages = writes_.seen();
  for (std::size_t i = 0; i < pages.size(); i += kBaseOneIn) {
    if (!sample_.touched.test(pages[i].page)) continue;
    bases_.push_back(pages[i].page);
    deltas_.keep(memory_.pages({pages[i].page, 1}));
  }
}

void GuestSampler::look_at_deltas() {
  for (std::size_t n = 0; n < bases_.size(); ++n) deltas_.look(n, memory_.pages({bases_[n], 1}));
}

GuestSample GuestSampler::take() {
  sample_.writes = writes_.seen();
  sample_.step_seconds = writes_.step_seconds();
  sample_.lz4 = content_.lz4();
  sample_.zstd = content_.zstd();
  if (deltas_.tells()) {
    sample_.delta_bytes = deltas_.bytes();
    sample_.delta_seconds = deltas_.seconds();
  }
  sample_.duplicates = content_.data() == 0 ? 0
                                            : static_cast<double>(content_.duplicates()) /
                                                  static_cast<double>(content_.data());
  return std::move(sample_);
}

}  // namespace migration::forecast
