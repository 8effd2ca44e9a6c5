#include "migration/pages/round.hpp"

#include <algorithm>
#include <utility>

namespace migration {

namespace {

/// 8 MiB: small enough to share out evenly, large enough that the calls per chunk do not show. A
/// multiple of 64 pages, so that no two channels write the same word of a bitmap.
constexpr std::uint64_t kChunkPages = 2048;

}  // namespace

Round::Round(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log)
    : number_(number), memory_(memory), log_(log), discover_(true), pages_(memory.page_count()) {}

Round::Round(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
             vmm::DirtyBitmap dirty)
    : number_(number), memory_(memory), log_(log), discover_(false), pages_(std::move(dirty)) {}

std::optional<vmm::PageRange> Round::next_chunk() {
  for (;;) {
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
    if (pages_.count(chunk) > 0) return chunk;
  }
}

}  // namespace migration
