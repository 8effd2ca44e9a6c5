#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

/// Sets of pages as words of 64 bits: page 64 w + n is bit n of word w. Words are in blocks.
namespace vmm {

inline constexpr std::uint64_t kAllPagesOfWord = ~std::uint64_t{0};

/// In every build: most of what comes here was named by a peer.
inline void check_pages_inside(bool inside) {
  if (!inside) throw std::out_of_range("pages beyond the end of RAM");
}

inline void check_pages_inside(PageRange range, std::uint64_t pages) {
  check_pages_inside(range.first <= pages && range.count <= pages - range.first);
}

/// visit(word index, mask), for each word that `range` reaches into.
template <typename Visit>
void for_words(PageRange range, Visit visit) {
  for (PageIndex page = range.first; page < range.end();) {
    const std::uint64_t in_word = std::min<std::uint64_t>(range.end() - page, 64 - page % 64);
    visit(page / 64, (kAllPagesOfWord >> (64 - in_word)) << (page % 64));
    page += in_word;
  }
}

/// visit(index of a block, the part of `range` in it, from its first page), for each block that
/// `range` reaches into.
template <typename Visit>
void for_blocks(PageRange range, Visit visit) {
  constexpr std::uint64_t kPages = PageSet::kBlockPages;
  for (PageIndex first = range.first; first < range.end();) {
    const PageIndex end = std::min(range.end(), (first / kPages + 1) * kPages);
    visit(first / kPages, PageRange{first % kPages, end - first});
    first = end;
  }
}

}  // namespace vmm
