#include "vmm/memory/atomic_page_set.hpp"

#include <algorithm>
#include <bit>

#include "vmm/memory/page_words.hpp"

namespace vmm {

namespace {

constexpr std::uint64_t bit_of(PageIndex page) { return std::uint64_t{1} << (page % 64); }

}  // namespace

AtomicPageSet::AtomicPageSet(std::uint64_t pages, bool all)
    : pages_(pages), words_((pages + 63) / 64) {
  if (all) put(PageRange{0, pages});
}

AtomicPageSet::AtomicPageSet(const PageSet& pages) : AtomicPageSet(pages.pages()) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] = pages.word(i);
}

bool AtomicPageSet::test_and_clear(PageIndex page) {
  check_pages_inside(page < pages_);
  const std::uint64_t bit = bit_of(page);
  return (words_[page / 64].fetch_and(~bit, std::memory_order_acq_rel) & bit) != 0;
}

void AtomicPageSet::extract(PageRange range, std::vector<PageRange>& taken) {
  check_pages_inside(range.first <= pages_ && range.count <= pages_ - range.first);
  for_words(range, [&](std::size_t word, std::uint64_t mask) {
    std::uint64_t got = words_[word].fetch_and(~mask, std::memory_order_acq_rel) & mask;
    while (got != 0) {
      const auto first = static_cast<std::uint64_t>(std::countr_zero(got));
      const auto count = static_cast<std::uint64_t>(std::countr_one(got >> first));
      append(taken, {word * 64 + first, count});
      got &= ~((kAllPagesOfWord >> (64 - count)) << first);
    }
  });
}

bool AtomicPageSet::put(PageIndex page) {
  check_pages_inside(page < pages_);
  const std::uint64_t bit = bit_of(page);
  return (words_[page / 64].fetch_or(bit, std::memory_order_acq_rel) & bit) == 0;
}

void AtomicPageSet::put(PageRange range) {
  check_pages_inside(range.first <= pages_ && range.count <= pages_ - range.first);
  for_words(range, [&](std::size_t word, std::uint64_t mask) {
    words_[word].fetch_or(mask, std::memory_order_acq_rel);
  });
}

bool AtomicPageSet::test(PageIndex page) const {
  check_pages_inside(page < pages_);
  return (words_[page / 64].load(std::memory_order_acquire) & bit_of(page)) != 0;
}

std::uint64_t AtomicPageSet::count(PageRange range) const {
  check_pages_inside(range.first <= pages_ && range.count <= pages_ - range.first);
  std::uint64_t total = 0;
  for_words(range, [&](std::size_t word, std::uint64_t mask) {
    const std::uint64_t value = words_[word].load(std::memory_order_acquire);
    total += static_cast<std::uint64_t>(std::popcount(value & mask));
  });
  return total;
}

std::optional<PageIndex> AtomicPageSet::first_at_or_after(PageIndex page) const {
  if (page >= pages_) return std::nullopt;
  std::uint64_t mask = kAllPagesOfWord << (page % 64);
  for (std::size_t word = page / 64; word < words_.size(); ++word) {
    const std::uint64_t value = words_[word].load(std::memory_order_acquire) & mask;
    if (value != 0) return word * 64 + static_cast<std::uint64_t>(std::countr_zero(value));
    mask = kAllPagesOfWord;
  }
  return std::nullopt;
}

std::optional<PageIndex> AtomicPageSet::last_before(PageIndex page) const {
  page = std::min(page, pages_);
  if (page == 0) return std::nullopt;
  std::uint64_t mask = kAllPagesOfWord >> (63 - (page - 1) % 64);
  for (std::size_t word = (page - 1) / 64;; --word) {
    const std::uint64_t value = words_[word].load(std::memory_order_acquire) & mask;
    if (value != 0) return word * 64 + 63 - static_cast<std::uint64_t>(std::countl_zero(value));
    if (word == 0) return std::nullopt;
    mask = kAllPagesOfWord;
  }
}

PageSet AtomicPageSet::snapshot() const {
  PageSet bitmap(pages_);
  for (std::size_t i = 0; i < words_.size(); ++i) {
    bitmap.add_word(i, words_[i].load(std::memory_order_acquire));
  }
  return bitmap;
}

}  // namespace vmm
