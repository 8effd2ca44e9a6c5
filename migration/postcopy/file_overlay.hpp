#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "migration/pages/huge_page_collapser.hpp"
#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/mapping.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/memory/userfault.hpp"

namespace migration {

/// RAM that is an empty file on a tmpfs, in post-copy: anonymous memory covers it where the guest
/// sees it, and waits for pages as any RAM does. Block by block (of kHugePagePages, the last may be
/// shorter) the file shows instead, once every page of the block is here: there it is a huge page,
/// which the kernel makes in no file of which holes are waited for, and which it would not make by
/// itself.
///
/// Any thread. Pages are put here that are missing, so into blocks that are not flushed, with one
/// exception: zero().
class FileOverlay {
 public:
  /// Before the guest runs. std::system_error when the host cannot give the mappings: then RAM is
  /// as before.
  FileOverlay(vmm::GuestMemory& memory, std::shared_ptr<const vmm::Userfault> userfault);

  /// Userfault::copy, into the cover.
  vmm::Installed copy(vmm::PageRange range, std::span<const std::byte> data);
  /// Of a page that is known to be zero, or is here by now: whoever waits for it goes on.
  void zero(vmm::PageIndex page);

  /// The block's place in the file, to be filled where nobody sees it; the rest of it is zero. It
  /// has to be kept or given back. Empty when it was lent before, or the file has no room.
  /// `ranges`: what will be filled of it. Empty too for the last block when it is a short one.
  [[nodiscard]] std::span<std::byte> lend(std::uint64_t block,
                                          std::span<const vmm::PageRange> ranges);
  /// It is filled, and no other page of the block is missing: it becomes RAM, but for pages that
  /// the cover has. False when the host cannot do that: then it is still lent.
  [[nodiscard]] bool keep(std::uint64_t block);
  /// What is there is of no use.
  void give_back(std::uint64_t block);

  /// No page of the block is missing: what the cover has of it goes into the file, which then shows
  /// there. Not while the block is lent, and not when the cover has nothing of it: then the end
  /// will do. When it fails, for want of room say, the block stays covered, and all that follow.
  void flush(std::uint64_t block);
  /// No page is missing any more: the file shows everywhere. False when some blocks stay covered,
  /// as the file had no room for one of them: then those that are zero do too, since nobody is to
  /// touch a hole of it.
  [[nodiscard]] bool flush_all();

 private:
  [[nodiscard]] std::uint64_t blocks() const { return flushed_.page_count(); }
  [[nodiscard]] vmm::PageRange pages_of(std::uint64_t first, std::uint64_t end) const;
  [[nodiscard]] bool uncover(std::uint64_t first, std::uint64_t end);
  [[nodiscard]] bool show(std::uint64_t block, bool filled);
  void clear(vmm::PageRange pages) const;
  void write_out(vmm::PageRange pages, bool zeros);
  void write(vmm::PageRange pages) const;

  vmm::GuestMemory& memory_;
  const int file_;
  std::shared_ptr<const vmm::Userfault> userfault_;
  vmm::Mapping view_;            ///< of the whole file
  HugePageCollapser collapser_;  ///< in view_
  // Of blocks, by number.
  vmm::AtomicPageSet held_;  ///< the cover may have pages of them
  vmm::AtomicPageSet lent_;
  vmm::AtomicPageSet stale_;  ///< lent, and not flushed: the file may have there what is of no use

  std::mutex mutex_;            ///< what is zero must not be put where the file shows by then
  bool closed_ = false;         ///< no further block is flushed: for want of room, or all is over
  vmm::AtomicPageSet flushed_;  ///< the file shows
  vmm::PageSet there_;          ///< empty, but for show()
};

}  // namespace migration
