#include "vmm/memory/page_set.hpp"

#include <algorithm>
#include <bit>

#include "vmm/memory/page_words.hpp"

namespace vmm {

PageSet::PageSet(std::uint64_t pages)
    : pages_(pages), blocks_((pages + kBlockPages - 1) / kBlockPages) {}

PageSet::PageSet(const PageSet& other) : PageSet(other.pages_) { *this |= other; }

PageSet& PageSet::operator=(const PageSet& other) {
  if (this != &other) *this = PageSet(other);
  return *this;
}

PageSet::Block& PageSet::block(std::size_t index) {
  auto& block = blocks_[index];
  if (!block) block = std::make_unique<Block>();
  return *block;
}

bool PageSet::test(PageIndex page) const {
  check_pages_inside(page < pages_);
  return (word(page / 64) >> (page % 64) & 1) != 0;
}

void PageSet::set(PageRange range) {
  check_pages_inside(range, pages_);
  for_blocks(range, [this](std::size_t index, PageRange part) {
    Block& words = block(index);
    for_words(part, [&](auto word, auto mask) { words[word] |= mask; });
  });
}

void PageSet::reset(PageRange range) {
  check_pages_inside(range, pages_);
  for_blocks(range, [this](std::size_t index, PageRange part) {
    if (!blocks_[index]) return;
    if (part.count == kBlockPages) return blocks_[index].reset();
    Block& words = *blocks_[index];
    for_words(part, [&](auto word, auto mask) { words[word] &= ~mask; });
  });
}

void PageSet::clear() {
  for (auto& block : blocks_) block.reset();
}

std::uint64_t PageSet::count(PageRange range) const {
  check_pages_inside(range, pages_);
  std::uint64_t total = 0;
  for_blocks(range, [&](std::size_t index, PageRange part) {
    if (!blocks_[index]) return;
    for_words(part, [&](auto word, auto mask) {
      total += static_cast<std::uint64_t>(std::popcount((*blocks_[index])[word] & mask));
    });
  });
  return total;
}

bool PageSet::empty() const { return !first_at_or_after(0); }

PageSet& PageSet::operator|=(const PageSet& other) {
  check_pages_inside(pages_ == other.pages_);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (!other.blocks_[i] || *other.blocks_[i] == kNone) continue;
    Block& mine = block(i);
    for (std::size_t word = 0; word < kBlockWords; ++word) mine[word] |= (*other.blocks_[i])[word];
  }
  return *this;
}

PageSet& PageSet::operator&=(const PageSet& other) {
  check_pages_inside(pages_ == other.pages_);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (!other.blocks_[i]) blocks_[i].reset();
    if (!blocks_[i]) continue;
    Block& mine = *blocks_[i];
    for (std::size_t word = 0; word < kBlockWords; ++word) mine[word] &= (*other.blocks_[i])[word];
  }
  return *this;
}

PageSet& PageSet::operator-=(const PageSet& other) {
  subtract(other, {0, pages_});
  return *this;
}

void PageSet::subtract(const PageSet& other, PageRange range) {
  check_pages_inside(pages_ == other.pages_);
  check_pages_inside(range, pages_);
  for_blocks(range, [&](std::size_t index, PageRange part) {
    if (!blocks_[index] || !other.blocks_[index]) return;
    Block& words = *blocks_[index];
    const Block& taken = *other.blocks_[index];
    for_words(part, [&](auto word, auto mask) { words[word] &= ~(taken[word] & mask); });
  });
}

bool PageSet::operator==(const PageSet& other) const {
  if (pages_ != other.pages_) return false;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const Block& mine = blocks_[i] ? *blocks_[i] : kNone;
    const Block& others = other.blocks_[i] ? *other.blocks_[i] : kNone;
    if (mine != others) return false;
  }
  return true;
}

std::optional<PageIndex> PageSet::find(PageIndex from, PageIndex end) const {
  for (PageIndex page = from; page < end;) {
    if (!blocks_[page / kBlockPages]) {
      page = (page / kBlockPages + 1) * kBlockPages;
      continue;
    }
    const std::uint64_t rest = word(page / 64) >> (page % 64);
    if (rest != 0) {
      const PageIndex found = page + static_cast<PageIndex>(std::countr_zero(rest));
      return found < end ? std::optional(found) : std::nullopt;
    }
    page = (page / 64 + 1) * 64;
  }
  return std::nullopt;
}

std::optional<PageRange> PageSet::next_range(PageIndex from, PageIndex end) const {
  check_pages_inside(end <= pages_);
  const auto found = find(from, end);
  if (!found) return std::nullopt;
  const PageIndex first = *found;
  for (PageIndex page = first; page < end; page = (page / 64 + 1) * 64) {
    const std::uint64_t gaps = ~word(page / 64) >> (page % 64);
    if (gaps == 0) continue;
    return PageRange{first,
                     std::min(page + static_cast<PageIndex>(std::countr_zero(gaps)), end) - first};
  }
  return PageRange{first, end - first};
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

std::uint64_t PageSet::word(std::size_t index) const {
  check_pages_inside(index < word_count());
  const auto& block = blocks_[index / kBlockWords];
  return block ? (*block)[index % kBlockWords] : 0;
}

void PageSet::add_word(std::size_t index, std::uint64_t bits) {
  if (bits == 0) return;
  const std::uint64_t above = (index + 1) * 64 - std::min((index + 1) * 64, pages_);
  check_pages_inside(above < 64 && (above == 0 || bits >> (64 - above) == 0));
  block(index / kBlockWords)[index % kBlockWords] |= bits;
}

std::span<const std::uint64_t> PageSet::block_words(PageIndex page) const {
  check_pages_inside(page < pages_);
  const auto& block = blocks_[page / kBlockPages];
  if (!block) return {};
  return *block;
}

}  // namespace vmm
