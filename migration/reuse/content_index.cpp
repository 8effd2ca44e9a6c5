#include "migration/reuse/content_index.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
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

ContentIndex::ContentIndex(vmm::DirtyBitmap held, std::vector<PageHash> hashes)
    : held_(std::move(held)), hashes_(std::move(hashes)) {
  before_.reserve(held_.words().size());
  std::uint64_t count = 0;
  for (const std::uint64_t word : held_.words()) {
    before_.push_back(static_cast<Position>(count));
    count += static_cast<std::uint64_t>(std::popcount(word));
  }
  if (count != hashes_.size()) throw std::invalid_argument("not one hash for each page held");
  const auto width = static_cast<unsigned>(std::bit_width(count));
  bucket_bits_ = width > kEntriesPerBucketBits ? width - kEntriesPerBucketBits : 0;
  fill_buckets();
}

void ContentIndex::fill_buckets() {
  // Counting sort: how many are in each bucket, where each starts, then each entry to its place.
  starts_.resize((std::size_t{1} << bucket_bits_) + 1);
  for (const PageHash& hash : hashes_) ++starts_[bucket_of(hash) + 1];
  for (std::size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
  entries_.resize(hashes_.size());
  std::vector<Position> next(starts_.begin(), starts_.end() - 1);
  Position position = 0;
  for (const vmm::PageRange& range : held_.ranges()) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++position) {
      entries_[next[bucket_of(hashes_[position])]++] = {position, static_cast<std::uint32_t>(page)};
    }
  }
  for (std::size_t i = 0; i + 1 < starts_.size(); ++i) {
    std::sort(entries_.begin() + starts_[i], entries_.begin() + starts_[i + 1],
              [this](const Entry& left, const Entry& right) {
                const auto order = hashes_[left.position] <=> hashes_[right.position];
                return order < 0 || (order == 0 && left.position < right.position);
              });
  }
}

ContentIndex::Place ContentIndex::find(vmm::PageIndex page, const PageHash& hash) const {
  if (held_.test(page) && hashes_[position_of(page)] == hash) return {Match::same, page};
  const std::size_t bucket = bucket_of(hash);
  const auto end = entries_.begin() + starts_[bucket + 1];
  const auto found = std::lower_bound(entries_.begin() + starts_[bucket], end, hash,
                                      [this](const Entry& entry, const PageHash& wanted) {
                                        return hashes_[entry.position] < wanted;
                                      });
  if (found == end || hashes_[found->position] != hash) return {};
  return {Match::elsewhere, found->page};
}

vmm::DirtyBitmap ContentIndex::same(std::span<const vmm::PageRange> ranges,
                                    std::span<const PageHash> hashes) const {
  vmm::DirtyBitmap result(held_.pages());
  auto hash = hashes.begin();
  for (const vmm::PageRange& range : ranges) {
    for (vmm::PageIndex page = range.first; page < range.end(); ++page, ++hash) {
      if (find(page, *hash).match == Match::same) result.set(page);
    }
  }
  return result;
}

std::size_t ContentIndex::bucket_of(const PageHash& hash) const {
  return bucket_bits_ == 0 ? 0 : first_bits(hash) >> (64 - bucket_bits_);
}

ContentIndex::Position ContentIndex::position_of(vmm::PageIndex page) const {
  const std::uint64_t below = held_.words()[page / 64] & ((std::uint64_t{1} << (page % 64)) - 1);
  return before_[page / 64] + static_cast<Position>(std::popcount(below));
}

}  // namespace migration
