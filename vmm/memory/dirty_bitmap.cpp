#include "vmm/memory/dirty_bitmap.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace vmm {

namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};

/// In every build: most of what comes here was named by a peer.
void check(bool inside) {
  if (!inside) throw std::out_of_range("pages beyond the end of RAM");
}

/// The bits of word `word` that lie in `range`.
std::uint64_t mask_of(std::uint64_t word, PageRange range) {
  const std::uint64_t begin = word * 64;
  std::uint64_t mask = kAll;
  if (range.first > begin) mask &= kAll << (range.first - begin);
  if (range.end() < begin + 64) mask &= kAll >> (begin + 64 - range.end());
  return mask;
}

template <typename Visit>  // visit(word index, mask), for each word that `range` reaches into
void for_words(PageRange range, Visit visit) {
  if (range.count == 0) return;
  for (std::uint64_t word = range.first / 64; word <= (range.end() - 1) / 64; ++word) {
    visit(word, mask_of(word, range));
  }
}

}  // namespace

DirtyBitmap::DirtyBitmap(std::uint64_t pages) : pages_(pages), words_((pages + 63) / 64) {}

bool DirtyBitmap::test(PageIndex page) const {
  check(page < pages_);
  return (words_[page / 64] >> (page % 64) & 1) != 0;
}

void DirtyBitmap::set(PageIndex page) { set(PageRange{page, 1}); }
void DirtyBitmap::reset(PageIndex page) { reset(PageRange{page, 1}); }

void DirtyBitmap::set(PageRange range) {
  check(range.first <= pages_ && range.count <= pages_ - range.first);
  for_words(range, [&](auto word, auto mask) { words_[word] |= mask; });
}

void DirtyBitmap::reset(PageRange range) {
  check(range.first <= pages_ && range.count <= pages_ - range.first);
  for_words(range, [&](auto word, auto mask) { words_[word] &= ~mask; });
}

void DirtyBitmap::clear() { std::ranges::fill(words_, 0); }

std::uint64_t DirtyBitmap::count() const { return count({0, pages_}); }

std::uint64_t DirtyBitmap::count(PageRange range) const {
  check(range.first <= pages_ && range.count <= pages_ - range.first);
  std::uint64_t total = 0;
  for_words(range, [&](auto word, auto mask) {
    total += static_cast<std::uint64_t>(std::popcount(words_[word] & mask));
  });
  return total;
}

bool DirtyBitmap::empty() const {
  return std::ranges::all_of(words_, [](auto word) { return word == 0; });
}

DirtyBitmap& DirtyBitmap::operator|=(const DirtyBitmap& other) {
  check(pages_ == other.pages_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  return *this;
}

DirtyBitmap& DirtyBitmap::operator&=(const DirtyBitmap& other) {
  check(pages_ == other.pages_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  return *this;
}

DirtyBitmap& DirtyBitmap::operator-=(const DirtyBitmap& other) {
  check(pages_ == other.pages_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
  return *this;
}

std::optional<PageRange> DirtyBitmap::next_range(PageIndex from, PageIndex end) const {
  check(end <= pages_);
  // The first page at or after `page` whose bit differs from `skipped`, or `end`.
  const auto find = [&](PageIndex page, std::uint64_t skipped) {
    while (page < end) {
      const std::uint64_t rest = (words_[page / 64] ^ skipped) >> (page % 64);
      if (rest != 0) return std::min(end, page + static_cast<PageIndex>(std::countr_zero(rest)));
      page = (page / 64 + 1) * 64;
    }
    return end;
  };
  const PageIndex first = find(from, 0);
  if (first >= end) return std::nullopt;
  return PageRange{first, find(first, kAll) - first};
}

std::vector<PageRange> DirtyBitmap::ranges(PageRange within) const {
  std::vector<PageRange> result;
  PageIndex from = within.first;
  while (const auto range = next_range(from, within.end())) {
    result.push_back(*range);
    from = range->end();
  }
  return result;
}

}  // namespace vmm
