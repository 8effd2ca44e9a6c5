#include "migration/pages/round.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "migration/base/page_content.hpp"

namespace migration {

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log)
    : Round(number),
      memory_(memory),
      log_(log),
      pages_(memory.page_count()),
      left_out_(memory.page_count()) {}

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog& log,
                           FreePages& free)
    : PreCopyRound(number, memory, &log) {
  free_ = &free;
}

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
                           vmm::PageSet dirty)
    : Round(number),
      memory_(memory),
      log_(log),
      pages_(std::move(dirty)),
      all_(pages_.pages().count()),
      left_out_(memory.page_count()) {}

std::optional<vmm::PageRange> PreCopyRound::claim() {
  const vmm::Lock lock(claiming_);
  return pages_.claim();
}

std::optional<Chunk> PreCopyRound::next_chunk() {
  while (const auto chunk = claim()) {
    if (free_ != nullptr) {
      memory_.add_populated(*chunk, pages_.pages());
      leave_out_free(*chunk);
      log_->clear(pages_.pages(), *chunk);
    } else if (can_be_watched()) {
      log_->clear_touched(*chunk, pages_.pages());
    } else if (pages_.discovers()) {
      memory_.add_populated(*chunk, pages_.pages());
    } else if (log_ != nullptr) {
      log_->clear(pages_.pages(), *chunk);
    }
    std::vector<vmm::PageRange> data = pages_.hand_out(*chunk);
    if (!data.empty()) return Chunk{std::move(data), {}};
  }
  return std::nullopt;
}

/// Not those that are zero: they cost nothing, and a guest that clears what it takes has written
/// them, so that they would have to be sent later.
void PreCopyRound::leave_out_free(vmm::PageRange chunk) {
  vmm::PageSet& pages = pages_.pages();
  for (const vmm::PageRange& free : free_->in(chunk)) {
    for (vmm::PageIndex page = free.first; page < free.end(); ++page) {
      if (!pages.test(page) || is_zero(std::as_const(memory_).pages({page, 1}))) continue;
      pages.reset(page);
      left_out_.set(page);
      ++left_out_count_;
    }
  }
}

vmm::PageSet PreCopyRound::left() const {
  vmm::PageSet left = pages_.left();
  return free_ == nullptr ? left : left -= left_out();
}

vmm::PageSet PreCopyRound::left_out() const {
  vmm::PageSet pages = left_out_;
  if (free_ == nullptr) return pages;
  for (const vmm::PageRange& free : free_->in(pages_.rest())) pages.set(free);
  return pages;
}

void PreCopyRound::watch_writes() {
  assert(can_be_watched());
  if (!pages_.watching()) {
    {
      const vmm::Lock lock(claiming_);
      pages_.watch();
    }
    // Where the guest tells its free pages, what counts as written was.
    if (free_ == nullptr) forget_writes();
    return;
  }
  const vmm::Lock lock(claiming_);
  if (pages_.rest().count == 0) return;
  vmm::PageSet written = log_->read();
  log_->clear(written, pages_.rest());
  if (free_ != nullptr) free_->written(written);
  pages_.sampled(std::move(written));
}

/// So far everything counts as written. In steps, for channels wait for their next chunk meanwhile.
void PreCopyRound::forget_writes() {
  vmm::PageSet touched(memory_.page_count());
  for (vmm::PageIndex first = 0;;) {
    const vmm::Lock lock(claiming_);
    first = std::max(first, pages_.rest().first);
    if (first >= memory_.page_count()) return;
    const vmm::PageRange step{first,
                              std::min(RoundPages::kChunkPages, memory_.page_count() - first)};
    log_->clear_touched(step, touched);
    first = step.end();
  }
}

}  // namespace migration
