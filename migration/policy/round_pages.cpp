#include "migration/policy/round_pages.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace migration {

namespace {

// Less strict than what is not worth keeping (HotPages): a page that is held back for nothing costs
// no byte, and is sent a round later.
constexpr unsigned kHotSamples = 2;

}  // namespace

RoundPages::RoundPages(std::uint64_t pages, std::uint64_t chunk)
    : discovers_(true), chunk_(chunk), pages_(pages), hot_(pages) {
  assert(chunk % 64 == 0);
}

RoundPages::RoundPages(vmm::PageSet given, std::uint64_t chunk)
    : discovers_(false), chunk_(chunk), pages_(std::move(given)), hot_(pages_.pages()) {
  assert(chunk % 64 == 0);
}

std::optional<vmm::PageRange> RoundPages::claim() {
  if (stopped_) return std::nullopt;
  if (!discovers_) pass_over_empty_chunks();
  const vmm::PageRange left = rest();
  if (left.count == 0) return std::nullopt;
  const vmm::PageRange chunk{left.first, std::min(chunk_, left.count)};
  next_ = chunk.end();
  return chunk;
}

void RoundPages::pass_over_empty_chunks() {
  const auto page = pages_.first_at_or_after(next_);
  next_ = page ? *page / chunk_ * chunk_ : pages_.pages();
}

std::vector<vmm::PageRange> RoundPages::hand_out(vmm::PageRange chunk) {
  count_ += pages_.count(chunk);
  for (const vmm::PageRange& hot : hot_.ranges(chunk)) {
    pages_.reset(hot);
    held_back_ += hot.count;
  }
  return pages_.ranges(chunk);
}

void RoundPages::watch() {
  assert(discovers_);
  history_.emplace(pages_.pages(), kHotSamples, kSamples);
}

void RoundPages::sampled(vmm::PageSet written) {
  written.reset({0, next_});
  history_->observe(std::move(written));
  hot_.reset(rest());
  for (const vmm::PageRange& hot : history_->hot().ranges(rest())) hot_.set(hot);
}

vmm::PageSet RoundPages::handed_out() const {
  vmm::PageSet pages = pages_;
  pages.reset(rest());
  return pages;
}

vmm::PageSet RoundPages::left() const {
  vmm::PageSet pages = hot_;
  pages.reset(rest());
  if (discovers_) {
    pages.set(rest());
  } else {
    for (const vmm::PageRange& range : pages_.ranges(rest())) pages.set(range);
  }
  return pages;
}

}  // namespace migration
