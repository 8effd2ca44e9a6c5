#include "migration/pages/round.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace migration {

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log)
    : Round(number), memory_(memory), log_(log), pages_(memory.page_count()) {}

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
                           vmm::PageSet dirty)
    : Round(number),
      memory_(memory),
      log_(log),
      pages_(std::move(dirty)),
      all_(pages_.pages().count()) {}

std::optional<vmm::PageRange> PreCopyRound::claim() {
  const vmm::Lock lock(claiming_);
  return pages_.claim();
}

std::optional<Chunk> PreCopyRound::next_chunk() {
  while (const auto chunk = claim()) {
    if (can_be_watched()) {
      log_->clear_touched(*chunk, pages_.pages());
    } else if (pages_.discovers()) {
      memory_.add_populated(*chunk, pages_.pages());
    } else if (log_ != nullptr && pages_.pages().count(*chunk) > 0) {
      log_->clear(pages_.pages(), *chunk);
    }
    std::vector<vmm::PageRange> data = pages_.hand_out(*chunk);
    if (!data.empty()) return Chunk{std::move(data), {}};
  }
  return std::nullopt;
}

void PreCopyRound::watch_writes() {
  assert(can_be_watched());
  if (!pages_.watching()) {
    {
      const vmm::Lock lock(claiming_);
      pages_.watch();
    }
    return forget_writes();
  }
  const vmm::Lock lock(claiming_);
  if (pages_.rest().count == 0) return;
  vmm::PageSet written = log_->read();
  log_->clear(written, pages_.rest());
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
