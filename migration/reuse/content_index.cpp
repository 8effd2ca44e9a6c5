#include "migration/reuse/content_index.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

namespace migration {

namespace {

constexpr unsigned kEntriesPerBucketBits = 2;

std::uint64_t first_bits(const PageHash& hash) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 8; ++i) bits = bits << 8 | std::to_integer<std::uint64_t>(hash.at(i));
  return bits;
}

}  // namespace

ContentIndex::ContentIndex(HeldHashes there) : there_(std::move(there)) {
  const std::span<const PageHash> hashes = there_.hashes();
  const auto width = static_cast<unsigned>(std::bit_width(hashes.size()));
  bucket_bits_ = width > kEntriesPerBucketBits ? width - kEntriesPerBucketBits : 0;
  // Counting sort: how many are in each bucket, where each starts, then each entry to its place.
  starts_.resize((std::size_t{1} << bucket_bits_) + 1);
  for (const PageHash& hash : hashes) ++starts_[bucket_of(hash) + 1];
  for (std::size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
  entries_.resize(hashes.size());
  std::vector<Position> next(starts_.begin(), starts_.end() - 1);
  Position position = 0;
  for (const vmm::PageRange& range : there_.held().ranges()) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++position) {
      entries_[next[bucket_of(hashes[position])]++] = {position, static_cast<std::uint32_t>(page)};
    }
  }
  for (std::size_t i = 0; i + 1 < starts_.size(); ++i) {
    std::sort(entries_.begin() + starts_[i], entries_.begin() + starts_[i + 1],
              [hashes](const Entry& left, const Entry& right) {
                const auto order = hashes[left.position] <=> hashes[right.position];
                return order < 0 || (order == 0 && left.position < right.position);
              });
  }
}

ContentIndex::Place ContentIndex::find(vmm::PageIndex page, const PageHash& hash) const {
  if (there_.same(page, hash)) return {Match::same, page};
  const std::span<const PageHash> hashes = there_.hashes();
  const std::size_t bucket = bucket_of(hash);
  const auto end = entries_.begin() + starts_[bucket + 1];
  const auto found = std::lower_bound(entries_.begin() + starts_[bucket], end, hash,
                                      [hashes](const Entry& entry, const PageHash& wanted) {
                                        return hashes[entry.position] < wanted;
                                      });
  if (found == end || hashes[found->position] != hash) return {};
  return {Match::elsewhere, found->page};
}

std::size_t ContentIndex::bucket_of(const PageHash& hash) const {
  return bucket_bits_ == 0 ? 0 : first_bits(hash) >> (64 - bucket_bits_);
}

}  // namespace migration
