#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include "migration/postcopy/file_overlay.hpp"
#include "migration/postcopy/missing_pages.hpp"
#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/userfault.hpp"

namespace migration {

/// Puts pages into RAM of which pages are missing, and which a guest may touch at any time. A page
/// appears whole or not at all, and never a second time.
///
/// Any thread, but where it is said otherwise: the fault loop installs pages that were asked for,
/// channels the others. wire::ProtocolError for a page that is not missing, or that has another
/// digest; std::system_error where the kernel fails, for want of room say.
class PageInstaller {
 public:
  /// From now on whoever touches a page of `memory` that is not there waits. `overlay`: of `memory`
  /// when it is an empty file; or none. `digests`: pages come with digests, one each, and are
  /// checked; otherwise all `digests` below are empty. `all_here` is called once, when the last
  /// page is here, by the thread that installed it. std::system_error where userfaultfd is not
  /// permitted.
  PageInstaller(vmm::GuestMemory& memory, std::shared_ptr<const vmm::Userfault> userfault,
                std::unique_ptr<FileOverlay> overlay, bool digests, MissingPages& missing,
                std::function<void()> all_here);

  /// These pages are missing: what is there of them is dropped, unless RAM is `untouched`, where
  /// looking for it would take time for nothing. The receiver's thread, before the guest runs.
  void expect(std::span<const vmm::PageRange> pages, bool untouched);

  void install(std::span<const vmm::PageRange> ranges, std::span<const std::byte> data,
               std::span<const std::uint64_t> digests);
  /// A zero page costs nothing until it is touched: it counts as installed, and a fault finds it
  /// so.
  void install_zero(std::span<const vmm::PageRange> ranges);
  /// Pages that lie within the aligned block of 512 pages from `first` on. `block` holds them where
  /// they belong, and zeros in between; it is aligned as a huge page is. Whether it became a huge
  /// page of RAM: then what is at `block` now is fresh zeros.
  [[nodiscard]] bool install_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                                   std::span<std::byte> block,
                                   std::span<const std::uint64_t> digests);
  /// Where such a block can be put together in RAM itself, out of the guest's sight; none when it
  /// cannot.
  [[nodiscard]] std::optional<BlockReservation> reserve_block(
      vmm::PageIndex first, std::span<const vmm::PageRange> ranges);
  /// It is filled with the pages of `ranges`.
  void install_reserved(BlockReservation reservation, vmm::PageIndex first,
                        std::span<const vmm::PageRange> ranges,
                        std::span<const std::uint64_t> digests);
  /// Somebody has touched a page that is not missing: it is zero, or here by now. Who waits for it
  /// goes on.
  void resolve_zero(vmm::PageIndex page);
  /// Nothing to check where pages come without digests.
  void check_digest(vmm::PageIndex page, std::span<const std::byte> data,
                    std::uint64_t digest) const;

  /// No page is missing any more: nobody waits from now on. Whether RAM that is a file is that file
  /// again. The fault loop's thread, once; again after it has thrown.
  [[nodiscard]] bool finish();
  [[nodiscard]] bool finished() const { return finished_; }

  [[nodiscard]] bool digests() const { return digests_; }
  /// What comes needs room in the file that RAM is, and there is no other place for it.
  [[nodiscard]] bool fills_file() const { return !overlay_ && memory_.file() >= 0; }

 private:
  void check_missing(vmm::PageRange range) const;
  void check(vmm::PageRange range, std::span<const std::byte> data,
             std::span<const std::uint64_t> digests) const;
  void check_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                   std::span<const std::byte> block, std::span<const std::uint64_t> digests) const;
  void put(vmm::PageRange range, std::span<const std::byte> data);
  vmm::Installed copy(vmm::PageRange range, std::span<const std::byte> data);
  void zero(vmm::PageIndex page);
  [[nodiscard]] std::uint64_t move_block(vmm::PageIndex first, std::uint64_t pages,
                                         std::span<std::byte> block);
  void explain_full_store(const std::system_error& error) const;
  /// These pages are here, or known to be zero. Those of them that somebody waited for.
  std::vector<vmm::PageIndex> mark_installed(vmm::PageRange range);
  void flush(vmm::PageRange range);

  vmm::GuestMemory& memory_;
  const std::shared_ptr<const vmm::Userfault> userfault_;
  const std::unique_ptr<FileOverlay> overlay_;
  const bool digests_;
  MissingPages& missing_;
  const std::function<void()> all_here_;
  vmm::AtomicPageSet touched_;  ///< pages that are there otherwise than as part of a huge page
  std::atomic<bool> finished_ = false;
};

}  // namespace migration
