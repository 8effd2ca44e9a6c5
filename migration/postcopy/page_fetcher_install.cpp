#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <system_error>

#include "migration/postcopy/page_fetcher.hpp"
#include "migration/verify.hpp"
#include "vmm/memory/huge_page.hpp"

/// How pages get into RAM of which pages are missing.
namespace migration {

using wire::ProtocolError;

namespace {

constexpr const char* kTwice = "the source sent a page that is here already";

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

/// Nobody else is to write where the guest may see it by then.
void PageFetcher::claim(vmm::PageRange range) {
  if (prepared_ && !claimed_.claim(range)) throw ProtocolError(kTwice);
}

/// Of pages that are all prepared, or none is.
vmm::Installed PageFetcher::put_part(vmm::PageRange range, std::span<const std::byte> data) {
  std::byte* const at = memory_.pages(range).data();
  if (!prepared_ || !prepared_->has(range)) return userfault_->copy(at, data);
  std::memcpy(prepared_->pages(range).data(), data.data(), data.size());
  prepared_->written(range);
  return userfault_->map(at, data.size());
}

void PageFetcher::put(vmm::PageRange range, std::span<const std::byte> data) {
  claim(range);
  touched_.put(range);
  try {
    while (range.count > 0) {
      const vmm::PageIndex edge =
          (range.first / vmm::kHugePagePages + 1) * vmm::kHugePagePages;  // of its block
      const vmm::PageRange part{
          range.first, prepared_ ? std::min(range.count, edge - range.first) : range.count};
      const vmm::Installed done = put_part(part, data.first(part.count * vmm::kPageSize));
      take_off(range, done);
      data = data.subspan(done.bytes);
    }
  } catch (const std::system_error&) {
    give_back({&range, 1});  // not what is here already: the guest has it
    throw;
  }
}

/// What was installed of the front of `range` has landed.
void PageFetcher::take_off(vmm::PageRange& range, const vmm::Installed& done) {
  const std::uint64_t count = done.bytes / vmm::kPageSize;
  if (count > 0) landed({range.first, count});
  range = {range.first + count, range.count - count};
  if (done.met_present) throw ProtocolError(kTwice);
}

/// Says that it met a page only if that is mapped: who waits has then but to look again.
vmm::Installed PageFetcher::put_zero(vmm::PageIndex page) {
  const auto bytes = memory_.pages({page, 1});
  if (!prepared_) return userfault_->zero(bytes.data(), bytes.size());
  if (!prepared_->has({page, 1})) {
    const vmm::Installed zero = userfault_->zero(bytes.data(), bytes.size());
    if (!zero.met_present) return zero;
    // It was installed before, and the kernel has unmapped it since, to swap it out say.
  }
  return userfault_->map(bytes.data(), bytes.size());
}

bool PageFetcher::place(std::span<const vmm::PageRange> ranges, std::vector<iovec>& into) {
  if (!prepared_ || !std::ranges::all_of(ranges, [this](const vmm::PageRange& range) {
        return prepared_->has(range);
      })) {
    return false;
  }
  into.clear();
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    try {
      check_missing(ranges[i]);
      claim(ranges[i]);
    } catch (const ProtocolError&) {
      give_back(ranges.first(i));
      throw;
    }
    const auto pages = prepared_->pages(ranges[i]);
    into.push_back({pages.data(), pages.size()});
  }
  return true;
}

void PageFetcher::give_back(std::span<const vmm::PageRange> ranges) {
  if (!prepared_) return;
  std::vector<vmm::PageRange> given;
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
      // It may yet come as a zero page.
      if (prepared_->has({page, 1})) std::ranges::fill(prepared_->pages({page, 1}), std::byte{0});
    }
    claimed_.take(range, given);
  }
}

void PageFetcher::install_placed(std::span<const vmm::PageRange> ranges,
                                 std::span<const std::uint64_t> digests) {
  try {
    for (const vmm::PageRange& range : ranges) {
      check(range, prepared_->pages(range), digests);
      if (digests_) digests = digests.subspan(range.count);
    }
  } catch (const ProtocolError&) {
    give_back(ranges);
    throw;
  }
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    vmm::PageRange range = ranges[i];
    prepared_->written(range);
    try {
      while (range.count > 0) {
        const auto pages = memory_.pages(range);
        take_off(range, userfault_->map(pages.data(), pages.size()));
      }
    } catch (const std::system_error&) {
      give_back({&range, 1});
      give_back(ranges.subspan(i + 1));
      throw;
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
  const auto bytes_of = [&](vmm::PageRange range) {
    return block.subspan((range.first - first) * vmm::kPageSize, range.count * vmm::kPageSize);
  };
  std::uint64_t count = 0;
  for (const vmm::PageRange& range : ranges) {
    check(range, bytes_of(range), digests);
    if (digests_) digests = digests.subspan(range.count);
    count += range.count;
  }
  // The rest of the block has to be zero, and nothing of it there already.
  const vmm::PageRange whole{first, block.size() / vmm::kPageSize};
  const bool fresh = expected_.count(whole) == whole.count && touched_.count(whole) == 0;
  std::uint64_t moved = 0;
  // Pages can be moved into anonymous memory alone.
  if (memory_.file() < 0 && userfault_->can_move() && fresh && missing_.count(whole) == count) {
    // As a huge page, whole; the kernel goes page by page if the guest has just touched a zero
    // page.
    moved = userfault_->move(memory_.pages(whole).data(), block.data(), block.size()).bytes /
            vmm::kPageSize;
  }
  for (const vmm::PageRange& range : ranges) {
    const vmm::PageIndex from = std::clamp(first + moved, range.first, range.end());
    const vmm::PageRange rest{from, range.end() - from};
    landed({range.first, from - range.first});
    if (rest.count > 0) put(rest, bytes_of(rest));
  }
  return moved == whole.count;
}

/// A zero page costs nothing until it is touched: it counts as landed, and a fault finds it so.
void PageFetcher::install_zero(std::span<const vmm::PageRange> ranges) {
  for (const vmm::PageRange& range : ranges) {
    check_missing(range);
    claim(range);
    for (const vmm::PageIndex page : landed(range)) {
      put_zero(page);
    }
  }
}

}  // namespace migration
