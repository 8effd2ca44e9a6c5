#include "migration/reuse/held_hashes.hpp"

#include <bit>
#include <stdexcept>
#include <utility>

namespace migration {

HeldHashes::HeldHashes(vmm::PageSet held, std::vector<PageHash> hashes)
    : held_(std::move(held)), hashes_(std::move(hashes)) {
  before_.reserve(held_.word_count());
  std::uint64_t count = 0;
  for (std::size_t word = 0; word < held_.word_count(); ++word) {
    before_.push_back(static_cast<std::uint32_t>(count));
    count += static_cast<std::uint64_t>(std::popcount(held_.word(word)));
  }
  if (count != hashes_.size()) throw std::invalid_argument("not one hash for each page held");
}

bool HeldHashes::same(vmm::PageIndex page, const PageHash& hash) const {
  return held_.test(page) && hashes_[position_of(page)] == hash;
}

std::vector<vmm::PageRange> HeldHashes::same(std::span<const vmm::PageRange> ranges,
                                             std::span<const PageHash> hashes) const {
  std::vector<vmm::PageRange> result;
  auto hash = hashes.begin();
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++hash) {
      if (same(page, *hash)) vmm::append(result, {page, 1});
    }
  }
  return result;
}

std::size_t HeldHashes::position_of(vmm::PageIndex page) const {
  const std::uint64_t below = held_.word(page / 64) & ((std::uint64_t{1} << (page % 64)) - 1);
  return before_[page / 64] + static_cast<std::size_t>(std::popcount(below));
}

}  // namespace migration
