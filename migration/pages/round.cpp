#include "migration/pages/round.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace migration {

namespace {

/// 8 MiB: small enough to share out evenly, large enough that the calls per chunk do not show. A
/// multiple of 64 pages, so that no two channels write the same word of a bitmap.
constexpr std::uint64_t kChunkPages = 2048;

// A page is held back that was written in two of the last four samples. Less strict than what is
// not worth keeping (HotPages): a page that is held back for nothing costs no byte, and is sent a
// round later.
constexpr unsigned kHotK = 2;
constexpr unsigned kHotN = 4;

}  // namespace

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log)
    : Round(number),
      memory_(memory),
      log_(log),
      discover_(true),
      pages_(memory.page_count()),
      cold_(memory.page_count()) {
  cold_.set(vmm::PageRange{0, memory.page_count()});
}

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
                           vmm::DirtyBitmap dirty)
    : Round(number), memory_(memory), log_(log), discover_(false), pages_(std::move(dirty)) {}

std::optional<vmm::PageRange> PreCopyRound::claim() {
  const std::lock_guard lock(claiming_);
  const vmm::PageIndex first = next_;
  if (stopped_ || first >= memory_.page_count()) return std::nullopt;
  const vmm::PageRange chunk{first, std::min(kChunkPages, memory_.page_count() - first)};
  next_ = chunk.end();
  return chunk;
}

std::optional<Chunk> PreCopyRound::next_chunk() {
  while (const auto chunk = claim()) {
    if (discover_) {
      if (log_ != nullptr) {
        log_->clear_touched(cold_, *chunk, pages_);
      } else {
        memory_.add_populated(*chunk, pages_);
      }
    } else if (log_ != nullptr && pages_.count(*chunk) > 0) {
      log_->clear(pages_, *chunk);
    }
    const std::uint64_t taken_up = pages_.count(*chunk);
    if (discover_) pages_.intersect(cold_, *chunk);
    const std::uint64_t count = pages_.count(*chunk);
    count_ += taken_up;
    held_back_ += taken_up - count;
    if (count > 0) return Chunk{pages_.ranges(*chunk), {}};
  }
  return std::nullopt;
}

void PreCopyRound::watch_writes() {
  assert(discover_ && log_ != nullptr);
  if (!history_) {
    history_.emplace(memory_.page_count(), kHotK, kHotN);
    return forget_writes();
  }
  const std::lock_guard lock(claiming_);
  const vmm::PageRange rest{next_, memory_.page_count() - next_};
  vmm::DirtyBitmap written = log_->harvest();
  written.reset({0, rest.first});
  history_->observe(written);
  for (const vmm::PageRange& hot : history_->hot().ranges(rest)) cold_.reset(hot);
  written.intersect(cold_, rest);
  log_->clear(written, rest);
}

/// So far everything counts as written. In steps, for channels wait for their next chunk meanwhile.
void PreCopyRound::forget_writes() {
  vmm::DirtyBitmap touched(memory_.page_count());
  for (vmm::PageIndex first = 0;;) {
    const std::lock_guard lock(claiming_);
    first = std::max<vmm::PageIndex>(first, next_);
    if (first >= memory_.page_count()) return;
    const vmm::PageRange step{first, std::min(kChunkPages, memory_.page_count() - first)};
    log_->clear_touched(cold_, step, touched);
    first = step.end();
  }
}

vmm::PageIndex PreCopyRound::taken_up() const { return next_; }

vmm::DirtyBitmap PreCopyRound::handed_out() const {
  vmm::DirtyBitmap pages = pages_;
  pages.reset(vmm::PageRange{next_, memory_.page_count() - next_});
  return pages;
}

vmm::DirtyBitmap PreCopyRound::left() const {
  vmm::DirtyBitmap pages(memory_.page_count());
  if (watching()) pages.set(vmm::PageRange{next_, memory_.page_count() - next_});
  return pages;
}

}  // namespace migration
