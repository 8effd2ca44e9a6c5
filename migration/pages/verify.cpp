#include "migration/pages/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "migration/base/page_content.hpp"

namespace migration {

namespace {

vmm::PageSet populated_pages(const vmm::GuestMemory& memory) {
  vmm::PageSet populated(memory.page_count());
  memory.add_populated({0, memory.page_count()}, populated);
  return populated;
}

}  // namespace

std::vector<vmm::PageRange> pages_to_digest(const vmm::GuestMemory& memory,
                                            const vmm::PageSet* without) {
  vmm::PageSet pages = populated_pages(memory);
  if (without != nullptr) pages -= *without;
  std::vector<vmm::PageRange> pieces;
  for (vmm::PageRange range : pages.ranges()) {
    while (range.count > 0) {
      const std::uint64_t count = std::min<std::uint64_t>(range.count, wire::kMaxDigestPages);
      pieces.push_back({range.first, count});
      range = {range.first + count, range.count - count};
    }
  }
  return pieces;
}

std::vector<std::uint64_t> digest(const vmm::GuestMemory& memory, vmm::PageRange range) {
  std::vector<std::uint64_t> digests;
  digests.reserve(range.count);
  for (vmm::PageIndex page = range.first; page < range.end(); ++page) {
    digests.push_back(digest_of(memory.pages({page, 1})));
  }
  return digests;
}

RamVerifier::RamVerifier(const vmm::GuestMemory& memory)
    : memory_(memory), populated_(populated_pages(memory)), covered_(memory.page_count()) {}

void RamVerifier::check(const wire::Digests& digests) {
  static const std::uint64_t zero_digest = [] {
    const std::array<std::byte, vmm::kPageSize> zero{};
    return digest_of(zero);
  }();
  // So all of it takes no longer than RAM does, however much comes.
  if (covered_.count(digests.range) > 0) {
    throw wire::ProtocolError("the source sent the digest of a page twice");
  }
  covered_.set(digests.range);
  for (std::uint64_t i = 0; i < digests.range.count && !first_difference_; ++i) {
    const vmm::PageIndex page = digests.range.first + i;
    const std::uint64_t mine =
        populated_.test(page) ? digest_of(memory_.pages({page, 1})) : zero_digest;
    if (mine != digests.digests[i]) first_difference_ = page;
  }
}

std::optional<std::string> RamVerifier::finish(const vmm::PageSet* without) {
  populated_ -= covered_;
  if (without != nullptr) populated_ -= *without;
  for (const vmm::PageRange& range : populated_.ranges()) {
    for (vmm::PageIndex page = range.first; page < range.end() && !first_difference_; ++page) {
      if (!is_zero(memory_.pages({page, 1}))) first_difference_ = page;
    }
  }
  if (!first_difference_) return std::nullopt;
  return fmt::format("the page at guest address 0x{:x} differs",
                     memory_.address_of(*first_difference_).value);
}

}  // namespace migration
