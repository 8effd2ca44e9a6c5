#include "migration/pages/round.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace migration {

namespace {

/// 8 MiB: small enough to share out evenly, large enough that the calls per chunk do not show. A
/// multiple of 64 pages, so that no two channels write the same word of a bitmap.
constexpr std::uint64_t kChunkPages = 2048;

// Less strict than what is not worth keeping (HotPages): a page that is held back for nothing costs
// no byte, and is sent a round later.
constexpr unsigned kHotSamples = 2;

}  // namespace

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log)
    : Round(number),
      memory_(memory),
      log_(log),
      discover_(true),
      pages_(memory.page_count()),
      hot_(memory.page_count()) {}

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
                           vmm::PageSet dirty)
    : Round(number),
      memory_(memory),
      log_(log),
      discover_(false),
      pages_(std::move(dirty)),
      all_(pages_.count()),
      hot_(memory.page_count()) {}

vmm::PageRange PreCopyRound::rest() const { return {next_, memory_.page_count() - next_}; }

std::optional<vmm::PageRange> PreCopyRound::claim() {
  const std::lock_guard lock(claiming_);
  const vmm::PageRange left = rest();
  if (stopped_ || left.count == 0) return std::nullopt;
  const vmm::PageRange chunk{left.first, std::min(kChunkPages, left.count)};
  next_ = chunk.end();
  return chunk;
}

std::optional<Chunk> PreCopyRound::next_chunk() {
  while (const auto chunk = claim()) {
    if (can_be_watched()) {
      log_->clear_touched(*chunk, pages_);
    } else if (discover_) {
      memory_.add_populated(*chunk, pages_);
    } else if (log_ != nullptr && pages_.count(*chunk) > 0) {
      log_->clear(pages_, *chunk);
    }
    count_ += pages_.count(*chunk);
    for (const vmm::PageRange& hot : hot_.ranges(*chunk)) {
      pages_.reset(hot);
      held_back_ += hot.count;
    }
    if (pages_.count(*chunk) > 0) return Chunk{pages_.ranges(*chunk), {}};
  }
  return std::nullopt;
}

void PreCopyRound::watch_writes() {
  assert(can_be_watched());
  if (!history_) {
    history_.emplace(memory_.page_count(), kHotSamples, kSamples);
    return forget_writes();
  }
  const std::lock_guard lock(claiming_);
  if (rest().count == 0) return;
  vmm::PageSet written = log_->harvest();
  log_->clear(written, rest());
  written.reset({0, next_});
  history_->observe(std::move(written));
  hot_.reset(rest());
  for (const vmm::PageRange& hot : history_->hot().ranges(rest())) hot_.set(hot);
}

/// So far everything counts as written. In steps, for channels wait for their next chunk meanwhile.
void PreCopyRound::forget_writes() {
  vmm::PageSet touched(memory_.page_count());
  for (vmm::PageIndex first = 0;;) {
    const std::lock_guard lock(claiming_);
    first = std::max<vmm::PageIndex>(first, next_);
    if (first >= memory_.page_count()) return;
    const vmm::PageRange step{first, std::min(kChunkPages, memory_.page_count() - first)};
    log_->clear_touched(step, touched);
    first = step.end();
  }
}

vmm::PageIndex PreCopyRound::taken_up() const { return next_; }

vmm::PageSet PreCopyRound::handed_out() const {
  vmm::PageSet pages = pages_;
  pages.reset(rest());
  return pages;
}

vmm::PageSet PreCopyRound::left() const {
  vmm::PageSet pages = hot_;
  pages.reset(rest());
  if (discover_) {
    pages.set(rest());
  } else {
    for (const vmm::PageRange& range : pages_.ranges(rest())) pages.set(range);
  }
  return pages;
}

}  // namespace migration
