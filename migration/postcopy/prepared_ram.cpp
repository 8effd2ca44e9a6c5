#include "migration/postcopy/prepared_ram.hpp"

#include <sys/mman.h>

namespace migration {

namespace {

/// 64 MiB: what is mapped twice counts twice as resident. To unmap whole huge pages is cheap, their
/// parts are not.
constexpr std::uint64_t kMostMapped = 16384;

}  // namespace

PreparedRam::PreparedRam(vmm::GuestMemory& memory)
    : memory_(memory), view_(memory.size(), memory.file()), room_({view_.data(), view_.size()}) {
  ::madvise(view_.data(), view_.size(), MADV_HUGEPAGE);  // as for RAM itself
}

void PreparedRam::prepare(std::span<const vmm::PageRange> touched) {
  room_.make_for(touched);
  unmap();
}

void PreparedRam::written(vmm::PageRange range) {
  if (written_.fetch_add(range.count) + range.count < kMostMapped) return;
  written_ = 0;
  unmap();
}

void PreparedRam::unmap() const { ::madvise(view_.data(), view_.size(), MADV_DONTNEED); }

}  // namespace migration
