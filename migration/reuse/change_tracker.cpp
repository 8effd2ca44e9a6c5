#include "migration/reuse/change_tracker.hpp"

#include <algorithm>

#include "migration/reuse/hash_pages.hpp"

namespace migration {

namespace {

/// Told at a time.
constexpr std::uint64_t kMostPages = 16384;

}  // namespace

ChangeTracker::ChangeTracker(const Token& token, const HashKey& key, std::uint64_t pages)
    : token_(token), key_(key), changed_(pages), untold_(pages), dropped_(pages) {}

std::vector<wire::Hashes> ChangeTracker::news(vmm::DirtyLog& log, const vmm::GuestMemory& memory) {
  const vmm::PageRange all{0, memory.page_count()};
  vmm::PageSet written = log.read();
  // A page that was dropped is of no interest any more, and its writes cost the guest nothing.
  written -= dropped_;
  // Cleared before they are looked at: what is written after that is news again.
  log.clear(written, all);
  changed_ |= written;
  untold_ |= written;
  vmm::PageSet now(all.count);
  std::uint64_t room = kMostPages;
  for (vmm::PageRange range : untold_.ranges()) {
    range.count = std::min(range.count, room);
    now.set(range);
    room -= range.count;
    if (room == 0) break;
  }
  untold_ -= now;
  return wire::hashes_of(now, hash_pages(memory, now, now, key_));
}

void ChangeTracker::tell_all() {
  untold_ |= changed_;
  untold_ -= dropped_;
}

void ChangeTracker::dropped(const std::vector<vmm::PageRange>& pages) {
  for (const vmm::PageRange& range : pages) dropped_.set(range);
}

}  // namespace migration
