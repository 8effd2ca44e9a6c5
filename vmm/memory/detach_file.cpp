#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/huge_page.hpp"
#include "vmm/memory/populated.hpp"

/// How RAM leaves a file whose file system has no room for the rest of it.
namespace vmm {

namespace {

/// RAM leaves in so many pieces at most, and so falls into twice as many mappings: a process may
/// have 65530, and the kernel joins none that has been moved.
constexpr std::uint64_t kMostPieces = 16384;

}  // namespace

/// What costs nothing goes first, for RAM may be needed any moment: the pieces are gone through
/// twice.
bool GuestMemory::detach_file(std::chrono::steady_clock::time_point until) {
  assert(file_.get() >= 0);
  const std::uint64_t blocks = unallocated_.pages();
  const std::uint64_t piece = (blocks + kMostPieces - 1) / kMostPieces;
  const std::uint64_t pieces = (blocks + piece - 1) / piece;
  if (next_to_detach_ == 2 * pieces && needs_room()) next_to_detach_ = 0;  // the file shows again
  PageSet there(page_count());
  while (next_to_detach_ < 2 * pieces && needs_room()) {
    const std::uint64_t first = next_to_detach_ % pieces * piece;
    for (const PageRange& run : unallocated_.ranges({first, std::min(piece, blocks - first)})) {
      populate_or_move(run, next_to_detach_ >= pieces, there);
    }
    ++next_to_detach_;
    if (std::chrono::steady_clock::now() >= until) break;
  }
  return !needs_room();
}

void GuestMemory::populate_or_move(PageRange blocks, bool partial_too, PageSet& there) {
  const PageIndex first = blocks.first * kHugePagePages;
  const PageRange pages{first, std::min(blocks.end() * kHugePagePages, page_count()) - first};
  add_data_of_file(file_.get(), ram_.data(), pages, there);
  const std::uint64_t held = there.count(pages);
  if (held > 0 && held < pages.count && !partial_too) return;
  if (held == pages.count || (held > 0 && allocate(pages) == 0)) return unallocated_.reset(blocks);
  if (held == 0) {
    ram_.remap(pages.first * kPageSize, pages.count * kPageSize, -1);
  } else {
    move_out(pages, there);
  }
  // In this order: who looks for a page meanwhile finds it in the file or is told to look further.
  unallocated_.reset(blocks);
  add_covered(pages.count);
  make_hole(pages);
}

/// The copy takes the place of the file in one step: who reads meanwhile finds one or the other.
void GuestMemory::move_out(PageRange pages, const PageSet& there) {
  const std::uint64_t offset = pages.first * kPageSize;
  Mapping copy(pages.count * kPageSize);
  for (const PageRange& range : there.ranges(pages)) {
    std::memcpy(copy.data() + (range.first - pages.first) * kPageSize,
                ram_.data() + range.first * kPageSize, range.count * kPageSize);
  }
  try {
    ram_.take(offset, std::move(copy));
  } catch (const std::system_error&) {
    // The kernel may have unmapped what was there.
    try {
      ram_.remap(offset, pages.count * kPageSize, file_.get());
    } catch (const std::system_error& error) {
      throw std::runtime_error(std::string("RAM is lost, as the kernel maps it no more: ") +
                               error.what());
    }
    throw;
  }
}

}  // namespace vmm
