#include "migration/postcopy/page_installer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "migration/base/page_content.hpp"
#include "migration/wire/format.hpp"
#include "vmm/memory/huge_page.hpp"

namespace migration {

using wire::ProtocolError;

namespace {

/// The pages of `range` within the block that begins with `first`.
template <typename Byte>
std::span<Byte> within(std::span<Byte> block, vmm::PageIndex first, vmm::PageRange range) {
  return block.subspan((range.first - first) * vmm::kPageSize, range.count * vmm::kPageSize);
}

}  // namespace

PageInstaller::PageInstaller(vmm::GuestMemory& memory,
                             std::shared_ptr<const vmm::Userfault> userfault,
                             std::unique_ptr<FileOverlay> overlay, bool digests,
                             MissingPages& missing, std::function<void()> all_here)
    : memory_(memory),
      userfault_(std::move(userfault)),
      overlay_(std::move(overlay)),
      digests_(digests),
      missing_(missing),
      all_here_(std::move(all_here)),
      touched_(memory.page_count()) {
  if (!overlay_) userfault_->register_missing(memory_.pages({0, memory_.page_count()}));
}

void PageInstaller::expect(std::span<const vmm::PageRange> pages, bool untouched) {
  const std::vector<vmm::PageRange> news = missing_.add(pages);  // what is told again takes no time
  if (!untouched && !news.empty()) memory_.discard(news);
}

void PageInstaller::check_missing(vmm::PageRange range) const {
  if (missing_.count(range) != range.count) {
    throw ProtocolError(fmt::format("the source sent pages {}+{}, of which some are here already",
                                    range.first, range.count));
  }
}

void PageInstaller::check_digest(vmm::PageIndex page, std::span<const std::byte> data,
                                 std::uint64_t digest) const {
  if (!digests_ || digest_of(data) == digest) return;
  throw ProtocolError(
      fmt::format("verification failed: the page at guest address 0x{:x} differs from its digest",
                  memory_.address_of(page).value));
}

void PageInstaller::check(vmm::PageRange range, std::span<const std::byte> data,
                          std::span<const std::uint64_t> digests) const {
  check_missing(range);
  if (!digests_) return;
  for (std::uint64_t i = 0; i < range.count; ++i) {
    check_digest(range.first + i, data.subspan(i * vmm::kPageSize, vmm::kPageSize), digests[i]);
  }
}

void PageInstaller::check_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                                std::span<const std::byte> block,
                                std::span<const std::uint64_t> digests) const {
  for (const vmm::PageRange& range : ranges) {
    check(range, within(block, first, range), digests);
    if (digests_) digests = digests.subspan(range.count);
  }
}

vmm::Installed PageInstaller::copy(vmm::PageRange range, std::span<const std::byte> data) {
  if (overlay_) return overlay_->copy(range, data);
  try {
    return userfault_->copy(memory_.pages(range).data(), data);
  } catch (const std::system_error& error) {
    explain_full_store(error);
    throw;
  }
}

/// Whoever waits for the page goes on, also where it is here by now.
void PageInstaller::zero(vmm::PageIndex page) {
  if (overlay_) return overlay_->zero(page);
  const auto bytes = memory_.pages({page, 1});
  try {
    if (userfault_->zero(bytes.data(), bytes.size()).met_present) userfault_->wake(bytes);
  } catch (const std::system_error& error) {
    explain_full_store(error);
    throw;
  }
}

/// The kernel says of a file system that has no room that there is no memory.
void PageInstaller::explain_full_store(const std::system_error& error) const {
  if (memory_.file() < 0 || error.code() != std::errc::not_enough_memory) return;
  throw std::system_error(
      ENOSPC, std::generic_category(),
      fmt::format("others have filled the image store {}, which has no room for the VM's pages: "
                  "make room there, and they come",
                  memory_.place()));
}

void PageInstaller::put(vmm::PageRange range, std::span<const std::byte> data) {
  touched_.put(range);
  while (range.count > 0) {
    const vmm::Installed done = copy(range, data);
    // Before anything fails: the guest has these.
    const std::uint64_t count = done.bytes / vmm::kPageSize;
    if (count > 0) mark_installed({range.first, count});
    if (done.met_present) throw ProtocolError("the source sent a page that is here already");
    range = {range.first + count, range.count - count};
    data = data.subspan(done.bytes);
  }
}

void PageInstaller::resolve_zero(vmm::PageIndex page) {
  touched_.put(page);
  zero(page);
}

std::vector<vmm::PageIndex> PageInstaller::mark_installed(vmm::PageRange range) {
  MissingPages::Arrival arrival = missing_.mark_installed(range);
  if (overlay_) flush(range);
  if (arrival.last) all_here_();
  return std::move(arrival.awaited);
}

/// Pages of these blocks were installed.
void PageInstaller::flush(vmm::PageRange range) {
  for (std::uint64_t block = range.first / vmm::kHugePagePages;
       block * vmm::kHugePagePages < range.end(); ++block) {
    const vmm::PageIndex first = block * vmm::kHugePagePages;
    const vmm::PageIndex end = std::min(first + vmm::kHugePagePages, memory_.page_count());
    if (missing_.count({first, end - first}) == 0) overlay_->flush(block);
  }
}

void PageInstaller::install(std::span<const vmm::PageRange> ranges, std::span<const std::byte> data,
                            std::span<const std::uint64_t> digests) {
  for (const vmm::PageRange& range : ranges) {
    const std::size_t size = range.count * vmm::kPageSize;
    check(range, data.first(size), digests);
    put(range, data.first(size));
    data = data.subspan(size);
    if (digests_) digests = digests.subspan(range.count);
  }
}

void PageInstaller::install_zero(std::span<const vmm::PageRange> ranges) {
  for (const vmm::PageRange& range : ranges) {
    check_missing(range);
    for (const vmm::PageIndex page : mark_installed(range)) zero(page);
  }
}

std::optional<BlockReservation> PageInstaller::reserve_block(
    vmm::PageIndex first, std::span<const vmm::PageRange> ranges) {
  if (!overlay_ || first + vmm::kHugePagePages > memory_.page_count()) return std::nullopt;
  std::uint64_t count = 0;
  for (const vmm::PageRange& range : ranges) count += missing_.count(range);
  // The rest of the block is zero, or the overlay has it.
  if (missing_.count({first, vmm::kHugePagePages}) != count) return std::nullopt;
  return overlay_->reserve(first / vmm::kHugePagePages, ranges);
}

void PageInstaller::install_reserved(BlockReservation reservation, vmm::PageIndex first,
                                     std::span<const vmm::PageRange> ranges,
                                     std::span<const std::uint64_t> digests) {
  const std::span<const std::byte> block = reservation.bytes();
  check_block(first, ranges, block, digests);
  const bool committed = reservation.commit();
  for (const vmm::PageRange& range : ranges) {
    if (committed) {
      mark_installed(range);
    } else {
      put(range, within(block, first, range));
    }
  }
}

/// Of a block that has so many pages which are missing. How many pages became RAM, from the first
/// on: as a huge page, all; the kernel goes page by page if the guest has just touched a zero page.
std::uint64_t PageInstaller::move_block(vmm::PageIndex first, std::uint64_t pages,
                                        std::span<std::byte> block) {
  const vmm::PageRange whole{first, block.size() / vmm::kPageSize};
  // Pages can be moved into anonymous memory alone. The end of RAM may be half a block.
  if (overlay_ || memory_.file() >= 0 || !userfault_->can_move() ||
      whole.end() > memory_.page_count()) {
    return 0;
  }
  // The rest of the block has to be zero, and nothing of it there already.
  const bool fresh = missing_.count_expected(whole) == whole.count && touched_.count(whole) == 0;
  if (!fresh || missing_.count(whole) != pages) return 0;
  return userfault_->move(memory_.pages(whole).data(), block.data(), block.size()).bytes /
         vmm::kPageSize;
}

bool PageInstaller::install_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                                  std::span<std::byte> block,
                                  std::span<const std::uint64_t> digests) {
  check_block(first, ranges, block, digests);
  const std::uint64_t moved = move_block(first, vmm::count_pages(ranges), block);
  for (const vmm::PageRange& range : ranges) {
    const vmm::PageIndex from = std::clamp(first + moved, range.first, range.end());
    const vmm::PageRange rest{from, range.end() - from};
    mark_installed({range.first, from - range.first});
    if (rest.count > 0) put(rest, within(std::span<const std::byte>(block), first, rest));
  }
  return moved == block.size() / vmm::kPageSize;
}

bool PageInstaller::finish() {
  const bool file_again = !overlay_ || overlay_->flush_all();
  // Where the file shows nothing is registered, which the kernel does not mind.
  userfault_->unregister(memory_.pages({0, memory_.page_count()}));
  finished_ = true;
  return file_again;
}

}  // namespace migration
