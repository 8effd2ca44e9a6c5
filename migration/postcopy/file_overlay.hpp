#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "migration/pages/huge_page_collapser.hpp"
#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/mapping.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/memory/userfault.hpp"
#include "vmm/os/mutex.hpp"

namespace migration {

class BlockReservation;

/// RAM that is an empty file on a tmpfs, in post-copy: anonymous memory, the overlay, lies over it
/// where the guest sees it, and waits for pages as any RAM does. Block by block (of kHugePagePages,
/// the last may be shorter) the file shows instead, once every page of the block is here: there it
/// is a huge page, which the kernel makes in no file of which holes are waited for, and which it
/// would not make by itself. A block is *flushed* when that has happened.
///
/// Any thread. Pages are put here that are missing, so into blocks that are not flushed, with one
/// exception: zero().
class FileOverlay {
 public:
  /// Before the guest runs. std::system_error when the host cannot give the mappings: then RAM is
  /// as before.
  FileOverlay(vmm::GuestMemory& memory, std::shared_ptr<const vmm::Userfault> userfault);

  /// Userfault::copy, into the overlay.
  vmm::Installed copy(vmm::PageRange range, std::span<const std::byte> data);
  /// Of a page that is known to be zero, or is here by now: whoever waits for it goes on.
  void zero(vmm::PageIndex page);

  /// The block's place in the file, to be filled where nobody sees it. `ranges`: what will be
  /// filled of it; the rest is zero. None when it was reserved before, or the file has no room, and
  /// none of the last block when it is a short one.
  [[nodiscard]] std::optional<BlockReservation> reserve(std::uint64_t block,
                                                        std::span<const vmm::PageRange> ranges);

  /// No page of the block is missing: what the overlay has of it goes into the file, which then
  /// shows there. A block that is reserved is flushed when it is released; one of which the overlay
  /// has nothing by flush_all(). Where the file has no room the overlay stays, there and in all
  /// blocks that follow.
  void flush(std::uint64_t block);
  /// No page is missing any more: the file shows everywhere. False when the overlay stays over some
  /// blocks, as the file had no room for one of them: then over those that are zero too, since
  /// nobody is to touch a hole of it.
  [[nodiscard]] bool flush_all();

 private:
  friend BlockReservation;

  [[nodiscard]] bool commit(std::uint64_t block);
  void release(std::uint64_t block) noexcept;
  void flush_locked(std::uint64_t block) FERRY_REQUIRES(mutex_);
  [[nodiscard]] std::uint64_t blocks() const { return held_.page_count(); }
  [[nodiscard]] vmm::PageRange pages_of(std::uint64_t first, std::uint64_t end) const;
  [[nodiscard]] bool uncover(std::uint64_t first, std::uint64_t end) FERRY_REQUIRES(mutex_);
  [[nodiscard]] bool show(std::uint64_t block, bool filled) FERRY_REQUIRES(mutex_);
  void clear(vmm::PageRange pages) const;
  void write_out(vmm::PageRange pages, bool zeros) FERRY_REQUIRES(mutex_);
  void write(vmm::PageRange pages) const;

  vmm::GuestMemory& memory_;
  const int file_;
  std::shared_ptr<const vmm::Userfault> userfault_;
  vmm::Mapping view_;            ///< of the whole file
  HugePageCollapser collapser_;  ///< of view_
  // Of blocks, by number.
  vmm::AtomicPageSet held_;  ///< the overlay may have pages of them
  vmm::AtomicPageSet reserved_;
  vmm::AtomicPageSet stale_;  ///< reserved, and not flushed: the file may have what is of no use

  vmm::Mutex mutex_;  ///< what is zero must not be put where the file shows by then
  /// No further block is flushed: for want of room, or all is over.
  bool closed_ FERRY_GUARDED_BY(mutex_) = false;
  vmm::PageSet flushed_ FERRY_GUARDED_BY(mutex_);  ///< the file shows
  vmm::PageSet due_ FERRY_GUARDED_BY(mutex_);      ///< to be flushed as they are released
  vmm::PageSet there_ FERRY_GUARDED_BY(mutex_);    ///< empty, but for show()
};

/// A block of the file, from FileOverlay::reserve(), while one thread fills it out of the guest's
/// sight. Unless it was committed it is released as this object goes: what is there is of no use
/// then. It does not outlive the overlay.
class BlockReservation {
 public:
  BlockReservation(BlockReservation&& other) noexcept;
  BlockReservation& operator=(BlockReservation&&) = delete;
  ~BlockReservation();

  /// The whole block, aligned as a huge page is.
  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  /// It is filled, and no other page of the block is missing: it becomes RAM, but for pages that
  /// the overlay has. False when the host cannot do that: then bytes() are still to be had. Once.
  [[nodiscard]] bool commit();

 private:
  friend FileOverlay;
  BlockReservation(FileOverlay& overlay, std::uint64_t block, std::span<std::byte> bytes)
      : overlay_(&overlay), block_(block), bytes_(bytes) {}

  FileOverlay* overlay_;  ///< null: there is nothing to release
  std::uint64_t block_;
  std::span<std::byte> bytes_;
};

}  // namespace migration
