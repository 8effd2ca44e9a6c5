#include "migration/policy/hot_pages.hpp"

#include <cassert>
#include <utility>

namespace migration {

HotPages::HotPages(std::uint64_t pages, unsigned k, unsigned n) : pages_(pages), k_(k), n_(n) {
  assert(1 <= k && k <= n);
}

void HotPages::observe(vmm::PageSet dirtied) {
  assert(dirtied.pages() == pages_);
  if (window_.size() < n_) {
    window_.push_back(std::move(dirtied));
    return;
  }
  window_[oldest_] = std::move(dirtied);
  oldest_ = (oldest_ + 1) % n_;
}

vmm::PageSet HotPages::hot() const {
  vmm::PageSet result(pages_);
  if (window_.size() < k_) return result;
  // 64 pages at a time: at_least[i] has those that were dirty in more than i of what was looked at.
  std::vector<std::uint64_t> at_least(k_);
  for (std::size_t word = 0; word < result.word_count(); ++word) {
    at_least.assign(k_, 0);
    for (const vmm::PageSet& dirtied : window_) {
      const std::uint64_t bits = dirtied.word(word);
      for (unsigned i = k_ - 1; i > 0; --i) at_least[i] |= at_least[i - 1] & bits;
      at_least[0] |= bits;
    }
    result.add_word(word, at_least[k_ - 1]);
  }
  return result;
}

}  // namespace migration
