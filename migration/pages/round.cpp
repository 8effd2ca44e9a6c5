#include "migration/pages/round.hpp"

#include <algorithm>
#include <utility>

namespace migration {

namespace {

/// 8 MiB: small enough to share out evenly, large enough that the calls per chunk do not show. A
/// multiple of 64 pages, so that no two channels write the same word of a bitmap.
constexpr std::uint64_t kChunkPages = 2048;

}  // namespace

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log)
    : Round(number), memory_(memory), log_(log), discover_(true), pages_(memory.page_count()) {}

PreCopyRound::PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
                           vmm::DirtyBitmap dirty)
    : Round(number), memory_(memory), log_(log), discover_(false), pages_(std::move(dirty)) {}

std::optional<Chunk> PreCopyRound::next_chunk() {
  while (!stopped_) {
    const vmm::PageIndex first = next_.fetch_add(kChunkPages, std::memory_order_relaxed);
    if (first >= memory_.page_count()) return std::nullopt;
    const vmm::PageRange chunk{first, std::min(kChunkPages, memory_.page_count() - first)};
    if (discover_) {
      // First clear, then look: a page touched in between is both sent and logged.
      if (log_ != nullptr) log_->clear_all(chunk);
      memory_.add_populated(chunk, pages_);
    } else if (log_ != nullptr && pages_.count(chunk) > 0) {
      log_->clear(pages_, chunk);
    }
    if (const std::uint64_t count = pages_.count(chunk); count > 0) {
      count_ += count;
      return Chunk{pages_.ranges(chunk), {}};
    }
  }
  return std::nullopt;
}

vmm::PageIndex PreCopyRound::taken_up() const {
  return std::min<vmm::PageIndex>(next_, memory_.page_count());
}

vmm::DirtyBitmap PreCopyRound::handed_out() const {
  vmm::DirtyBitmap pages = pages_;
  const vmm::PageIndex end = taken_up();
  pages.reset(vmm::PageRange{end, memory_.page_count() - end});
  return pages;
}

}  // namespace migration
