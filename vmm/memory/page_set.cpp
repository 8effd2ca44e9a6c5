#include "vmm/memory/page_set.hpp"

#include <algorithm>
#include <bit>

#include "vmm/memory/page_words.hpp"

namespace vmm {

PageSet::PageSet(std::uint64_t pages) : pages_(pages), words_((pages + 63) / 64) {}

bool PageSet::test(PageIndex page) const {
  check_pages_inside(page < pages_);
  return (words_[page / 64] >> (page % 64) & 1) != 0;
}

void PageSet::set(PageIndex page) { set(PageRange{page, 1}); }
void PageSet::reset(PageIndex page) { reset(PageRange{page, 1}); }

void PageSet::set(PageRange range) {
  check_pages_inside(range.first <= pages_ && range.count <= pages_ - range.first);
  for_words(range, [&](auto word, auto mask) { words_[word] |= mask; });
}

void PageSet::reset(PageRange range) {
  check_pages_inside(range.first <= pages_ && range.count <= pages_ - range.first);
  for_words(range, [&](auto word, auto mask) { words_[word] &= ~mask; });
}

void PageSet::clear() { std::ranges::fill(words_, 0); }

std::uint64_t PageSet::count() const { return count({0, pages_}); }

std::uint64_t PageSet::count(PageRange range) const {
  check_pages_inside(range.first <= pages_ && range.count <= pages_ - range.first);
  std::uint64_t total = 0;
  for_words(range, [&](auto word, auto mask) {
    total += static_cast<std::uint64_t>(std::popcount(words_[word] & mask));
  });
  return total;
}

bool PageSet::empty() const {
  return std::ranges::all_of(words_, [](auto word) { return word == 0; });
}

PageSet& PageSet::operator|=(const PageSet& other) {
  check_pages_inside(pages_ == other.pages_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  return *this;
}

PageSet& PageSet::operator&=(const PageSet& other) {
  check_pages_inside(pages_ == other.pages_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  return *this;
}

PageSet& PageSet::operator-=(const PageSet& other) {
  check_pages_inside(pages_ == other.pages_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
  return *this;
}

std::optional<PageRange> PageSet::next_range(PageIndex from, PageIndex end) const {
  check_pages_inside(end <= pages_);
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
  return PageRange{first, find(first, kAllPagesOfWord) - first};
}

std::vector<PageRange> PageSet::ranges(PageRange within) const {
  std::vector<PageRange> result;
  PageIndex from = within.first;
  while (const auto range = next_range(from, within.end())) {
    result.push_back(*range);
    from = range->end();
  }
  return result;
}

}  // namespace vmm
