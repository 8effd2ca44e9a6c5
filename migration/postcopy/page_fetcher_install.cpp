#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include "migration/base/page_content.hpp"
#include "migration/postcopy/page_fetcher.hpp"
#include "vmm/memory/huge_page.hpp"

/// How pages get into RAM of which pages are missing.
namespace migration {

using wire::ProtocolError;

namespace {

/// The pages of `range` within the block that begins with `first`.
std::span<std::byte> within(std::span<std::byte> block, vmm::PageIndex first,
                            vmm::PageRange range) {
  return block.subspan((range.first - first) * vmm::kPageSize, range.count * vmm::kPageSize);
}

}  // namespace

void PageFetcher::check_missing(vmm::PageRange range) const {
  if (missing_.count(range) != range.count) {
    throw ProtocolError(fmt::format("the source sent pages {}+{}, of which some are here already",
                                    range.first, range.count));
  }
}

void PageFetcher::check_digest(vmm::PageIndex page, std::span<const std::byte> data,
                               std::uint64_t digest) const {
  if (digest_of(data) == digest) return;
  throw ProtocolError(
      fmt::format("verification failed: the page at guest address 0x{:x} differs from its digest",
                  memory_.address_of(page).value));
}

void PageFetcher::check(vmm::PageRange range, std::span<const std::byte> data,
                        std::span<const std::uint64_t> digests) const {
  check_missing(range);
  if (!digests_) return;
  for (std::uint64_t i = 0; i < range.count; ++i) {
    check_digest(range.first + i, data.subspan(i * vmm::kPageSize, vmm::kPageSize), digests[i]);
  }
}

void PageFetcher::check_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                              std::span<std::byte> block,
                              std::span<const std::uint64_t> digests) const {
  for (const vmm::PageRange& range : ranges) {
    check(range, within(block, first, range), digests);
    if (digests_) digests = digests.subspan(range.count);
  }
}

vmm::Installed PageFetcher::install(vmm::PageRange range, std::span<const std::byte> data) {
  if (covered_) return covered_->copy(range, data);
  try {
    return userfault_->copy(memory_.pages(range).data(), data);
  } catch (const std::system_error& error) {
    explain_full_store(error);
    throw;
  }
}

/// The kernel says of a file system that has no room that there is no memory.
void PageFetcher::explain_full_store(const std::system_error& error) const {
  if (memory_.file() < 0 || error.code() != std::errc::not_enough_memory) return;
  throw std::system_error(
      ENOSPC, std::generic_category(),
      fmt::format("others have filled the image store {}, which has no room for the VM's pages: "
                  "make room there, and they come",
                  memory_.place()));
}

void PageFetcher::put(vmm::PageRange range, std::span<const std::byte> data) {
  touched_.put(range);
  while (range.count > 0) {
    const vmm::Installed done = install(range, data);
    // Before anything fails: the guest has these.
    const std::uint64_t count = done.bytes / vmm::kPageSize;
    if (count > 0) landed({range.first, count});
    if (done.met_present) throw ProtocolError("the source sent a page that is here already");
    range = {range.first + count, range.count - count};
    data = data.subspan(done.bytes);
  }
}

/// A page that is known to be zero, or is here by now: whoever waits for it goes on.
void PageFetcher::give_zero(vmm::PageIndex page) {
  if (covered_) return covered_->zero(page);
  const auto bytes = memory_.pages({page, 1});
  try {
    if (userfault_->zero(bytes.data(), bytes.size()).met_present) userfault_->wake(bytes);
  } catch (const std::system_error& error) {
    explain_full_store(error);
    throw;
  }
}

/// Pages of these blocks have landed.
void PageFetcher::flush(vmm::PageRange range) {
  for (std::uint64_t block = range.first / vmm::kHugePagePages;
       block * vmm::kHugePagePages < range.end(); ++block) {
    const vmm::PageIndex first = block * vmm::kHugePagePages;
    const vmm::PageIndex end = std::min(first + vmm::kHugePagePages, memory_.page_count());
    if (missing_.count({first, end - first}) == 0) covered_->flush(block);
  }
}

std::optional<BlockReservation> PageFetcher::reserve_block(vmm::PageIndex first,
                                                           std::span<const vmm::PageRange> ranges) {
  if (!covered_ || first + vmm::kHugePagePages > memory_.page_count()) return std::nullopt;
  std::uint64_t count = 0;
  for (const vmm::PageRange& range : ranges) count += missing_.count(range);
  // The rest of the block is zero, or the overlay has it.
  if (missing_.count({first, vmm::kHugePagePages}) != count) return std::nullopt;
  return covered_->reserve(first / vmm::kHugePagePages, ranges);
}

void PageFetcher::install_reserved(BlockReservation& reservation, vmm::PageIndex first,
                                   std::span<const vmm::PageRange> ranges,
                                   std::span<const std::uint64_t> digests) {
  check_block(first, ranges, reservation.bytes(), digests);
  const bool committed = reservation.commit();
  for (const vmm::PageRange& range : ranges) {
    if (committed) {
      landed(range);
    } else {
      put(range, within(reservation.bytes(), first, range));
    }
  }
}

void PageFetcher::install(std::span<const vmm::PageRange> ranges, std::span<const std::byte> data,
                          std::span<const std::uint64_t> digests) {
  for (const vmm::PageRange& range : ranges) {
    const std::size_t size = range.count * vmm::kPageSize;
    check(range, data.first(size), digests);
    put(range, data.first(size));
    data = data.subspan(size);
    if (digests_) digests = digests.subspan(range.count);
  }
}

bool PageFetcher::install_block(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                                std::span<std::byte> block,
                                std::span<const std::uint64_t> digests) {
  check_block(first, ranges, block, digests);
  std::uint64_t count = 0;
  for (const vmm::PageRange& range : ranges) count += range.count;
  // The rest of the block has to be zero, and nothing of it there already.
  const vmm::PageRange whole{first, block.size() / vmm::kPageSize};
  // The end of RAM may be half a block.
  const bool fresh = whole.end() <= memory_.page_count() && expected_.count(whole) == whole.count &&
                     touched_.count(whole) == 0;
  std::uint64_t moved = 0;
  // Pages can be moved into anonymous memory alone.
  if (!covered_ && memory_.file() < 0 && userfault_->can_move() && fresh &&
      missing_.count(whole) == count) {
    // As a huge page, whole; the kernel goes page by page if the guest has just touched a zero
    // page.
    moved = userfault_->move(memory_.pages(whole).data(), block.data(), block.size()).bytes /
            vmm::kPageSize;
  }
  for (const vmm::PageRange& range : ranges) {
    const vmm::PageIndex from = std::clamp(first + moved, range.first, range.end());
    const vmm::PageRange rest{from, range.end() - from};
    landed({range.first, from - range.first});
    if (rest.count > 0) put(rest, within(block, first, rest));
  }
  return moved == whole.count;
}

/// A zero page costs nothing until it is touched: it counts as landed, and a fault finds it so.
void PageFetcher::install_zero(std::span<const vmm::PageRange> ranges) {
  for (const vmm::PageRange& range : ranges) {
    check_missing(range);
    for (const vmm::PageIndex page : landed(range)) {
      give_zero(page);
    }
  }
}

}  // namespace migration
