#include "vmm/memory/atomic_page_set.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include "vmm/memory/page_words.hpp"

namespace vmm {

namespace {

constexpr std::uint64_t bit_of(PageIndex page) { return std::uint64_t{1} << (page % 64); }

}  // namespace

AtomicPageSet::Block::Block(std::uint64_t each) {
  for (auto& word : words) word = each;
}

AtomicPageSet::Block AtomicPageSet::empty_block(0);
AtomicPageSet::Block AtomicPageSet::full_block(kAllPagesOfWord);

AtomicPageSet::AtomicPageSet(std::uint64_t pages, bool all)
    : pages_(pages), blocks_((pages + kBlockPages - 1) / kBlockPages) {
  for (auto& block : blocks_) block.store(&empty_block, std::memory_order_relaxed);
  if (all) put(PageRange{0, pages});
}

AtomicPageSet::AtomicPageSet(const PageSet& pages) : AtomicPageSet(pages.pages()) {
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    const auto words = pages.block_words(index * kBlockPages);
    if (words.empty()) continue;
    Block& mine = block(index);
    for (std::size_t i = 0; i < words.size(); ++i) mine.words[i] = words[i];
  }
}

AtomicPageSet::AtomicPageSet(AtomicPageSet&& other) noexcept
    : pages_(std::exchange(other.pages_, 0)), blocks_(std::move(other.blocks_)) {}

AtomicPageSet& AtomicPageSet::operator=(AtomicPageSet&& other) noexcept {
  std::swap(pages_, other.pages_);
  blocks_.swap(other.blocks_);
  return *this;
}

AtomicPageSet::~AtomicPageSet() {
  for (const auto& block : blocks_) {
    if (!is_shared(block)) delete block.load();
  }
}

std::uint64_t AtomicPageSet::word(std::size_t index) const {
  const Block* block = blocks_[index / kBlockWords].load(std::memory_order_acquire);
  return block->words[index % kBlockWords].load(std::memory_order_acquire);
}

AtomicPageSet::Block& AtomicPageSet::block(std::size_t index) {
  Block* now = blocks_[index].load(std::memory_order_acquire);
  while (is_shared(now)) {
    auto mine = std::make_unique<Block>(0);
    for (std::size_t i = 0; i < kBlockWords; ++i) mine->words[i] = now->words[i].load();
    // Another thread may have made it, or taken or put all of it.
    if (blocks_[index].compare_exchange_strong(now, mine.get(), std::memory_order_acq_rel)) {
      return *mine.release();
    }
  }
  return *now;
}

/// Whether it was the one shared block, and is the other now.
bool AtomicPageSet::replace(std::size_t index, Block& from, Block& by) {
  Block* expected = &from;
  return blocks_[index].compare_exchange_strong(expected, &by, std::memory_order_acq_rel);
}

bool AtomicPageSet::test_and_clear(PageIndex page) {
  if (!test(page)) return false;
  const std::uint64_t bit = bit_of(page);
  auto& word = block(page / kBlockPages).words[page % kBlockPages / 64];
  return (word.fetch_and(~bit, std::memory_order_acq_rel) & bit) != 0;
}

void AtomicPageSet::extract(PageRange range, std::vector<PageRange>& taken) {
  check_pages_inside(range, pages_);
  for_blocks(range, [&](std::size_t index, PageRange part) {
    const PageIndex first = index * kBlockPages;
    if (blocks_[index].load(std::memory_order_acquire) == &empty_block) return;
    if (part.count == kBlockPages && replace(index, full_block, empty_block)) {
      return append(taken, {first, kBlockPages});
    }
    auto& words = block(index).words;
    for_words(part, [&](std::size_t word, std::uint64_t mask) {
      std::uint64_t got = words[word].fetch_and(~mask, std::memory_order_acq_rel) & mask;
      while (got != 0) {
        const auto start = static_cast<std::uint64_t>(std::countr_zero(got));
        const auto count = static_cast<std::uint64_t>(std::countr_one(got >> start));
        append(taken, {first + word * 64 + start, count});
        got &= ~((kAllPagesOfWord >> (64 - count)) << start);
      }
    });
  });
}

bool AtomicPageSet::put(PageIndex page) {
  check_pages_inside(page < pages_);
  const std::uint64_t bit = bit_of(page);
  auto& word = block(page / kBlockPages).words[page % kBlockPages / 64];
  return (word.fetch_or(bit, std::memory_order_acq_rel) & bit) == 0;
}

void AtomicPageSet::put(PageRange range) {
  check_pages_inside(range, pages_);
  for_blocks(range, [&](std::size_t index, PageRange part) {
    const bool whole = part.count == kBlockPages;
    if (whole &&
        (replace(index, empty_block, full_block) || replace(index, full_block, full_block)))
      return;
    auto& words = block(index).words;
    for_words(part, [&](std::size_t word, std::uint64_t mask) {
      words[word].fetch_or(mask, std::memory_order_acq_rel);
    });
  });
}

bool AtomicPageSet::test(PageIndex page) const {
  check_pages_inside(page < pages_);
  return (word(page / 64) & bit_of(page)) != 0;
}

std::uint64_t AtomicPageSet::count(PageRange range) const {
  check_pages_inside(range, pages_);
  std::uint64_t total = 0;
  for_blocks(range, [&](std::size_t index, PageRange part) {
    const Block* block = blocks_[index].load(std::memory_order_acquire);
    if (block == &empty_block) return;
    if (block == &full_block) {
      total += part.count;
      return;
    }
    for_words(part, [&](std::size_t word, std::uint64_t mask) {
      const std::uint64_t value = block->words[word].load(std::memory_order_acquire);
      total += static_cast<std::uint64_t>(std::popcount(value & mask));
    });
  });
  return total;
}

std::optional<PageIndex> AtomicPageSet::first_at_or_after(PageIndex page) const {
  while (page < pages_) {
    if (blocks_[page / kBlockPages].load(std::memory_order_acquire) == &empty_block) {
      page = (page / kBlockPages + 1) * kBlockPages;
      continue;
    }
    const std::uint64_t rest = word(page / 64) >> (page % 64);
    if (rest != 0) return page + static_cast<PageIndex>(std::countr_zero(rest));
    page = (page / 64 + 1) * 64;
  }
  return std::nullopt;
}

std::optional<PageIndex> AtomicPageSet::last_before(PageIndex page) const {
  page = std::min(page, pages_);
  while (page > 0) {
    const PageIndex last = page - 1;
    if (blocks_[last / kBlockPages].load(std::memory_order_acquire) == &empty_block) {
      page = last / kBlockPages * kBlockPages;
      continue;
    }
    const std::uint64_t rest = word(last / 64) << (63 - last % 64);
    if (rest != 0) return last - static_cast<PageIndex>(std::countl_zero(rest));
    page = last / 64 * 64;
  }
  return std::nullopt;
}

void AtomicPageSet::move_into(PageSet& into) {
  check_pages_inside(into.pages() == pages_);
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    if (blocks_[index].load(std::memory_order_acquire) == &empty_block) continue;
    auto& words = block(index).words;
    for (std::size_t i = 0; i < kBlockWords; ++i) {
      // Taken out last: adding may find no memory.
      const std::uint64_t bits = words[i].load(std::memory_order_acquire);
      into.add_word(index * kBlockWords + i, bits);
      if (bits != 0) words[i].fetch_and(~bits, std::memory_order_acquire);
    }
  }
}

PageSet AtomicPageSet::snapshot() const {
  PageSet pages(pages_);
  for (std::size_t index = 0; index < blocks_.size(); ++index) {
    const Block* block = blocks_[index].load(std::memory_order_acquire);
    if (block == &empty_block) continue;
    for (std::size_t i = 0; i < kBlockWords; ++i) {
      const std::uint64_t bits = block->words[i].load(std::memory_order_acquire);
      pages.add_word(index * kBlockWords + i, bits);
    }
  }
  return pages;
}

}  // namespace vmm
