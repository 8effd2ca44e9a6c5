#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "vmm/memory/guest_address.hpp"

/// Sets of pages as words of 64 bits: page 64 w + n is bit n of word w.
namespace vmm {

inline constexpr std::uint64_t kAllPagesOfWord = ~std::uint64_t{0};

/// In every build: most of what comes here was named by a peer.
inline void check_pages_inside(bool inside) {
  if (!inside) throw std::out_of_range("pages beyond the end of RAM");
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

}  // namespace vmm
