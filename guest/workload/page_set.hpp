#pragma once

#include <cstdint>

#include "guest/cpu/atomic.hpp"
#include "guest/cpu/memory_map.hpp"
#include "guest/io/command_line.hpp"
#include "guest/workload/page.hpp"

namespace guest {

/// Pages [begin, end) of the filled ones; what one vCPU owns, so that no page needs a lock.
struct PageShare {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The filled pages and the generation that each must have.
class PageSet {
 public:
  /// Places the pages; the machine fails where the RAM has no room for them.
  void place(const Options& options, MemoryMap memory);

  /// Fills until no chunk is left; any number of vCPUs may call this at once.
  void fill_chunks();

  bool filled() const { return filled_.load() == pages_; }

  std::uint64_t pages() const { return pages_; }
  std::uint64_t count(PageKind kind) const;

  /// How many pages of a share are not zero.
  std::uint64_t writable(PageShare share) const;

  /// An equal share for vCPU `index` of `count`.
  PageShare share(std::uint32_t index, std::uint32_t count) const;

  /// The page that page `index` was filled as: itself, or one before it that is no copy.
  std::uint64_t original(std::uint64_t index) const {
    while (index != 0 && (mix(~index) >> 32) * 100 >> 32 < copies_percent_) {
      index = mix(index) % index;
    }
    return index;
  }

  PageKind kind(std::uint64_t index) const {
    const std::uint64_t draw = (mix(original(index)) >> 32) * 100 >> 32;
    if (draw < zero_percent_) return PageKind::zero;
    return draw < zero_percent_ + random_percent_ ? PageKind::random : PageKind::text;
  }

  /// Writes to page `index`, which is not zero, and to its generation unless that stays.
  void touch(std::uint64_t index, Random& random) {
    std::uint32_t& generation = generations_[index];
    const PageVerdict verdict =
        touch_page_as(name(index), memory_.address(index), kind(index), generation, random, write_);
    if (verdict.fault != PageFault::none) report(index, verdict);
    if (write_ == PageWrite::spread) ++generation;
  }

  /// Reads the first word of page `index`, whatever it is; check_peeked() fails the machine when it
  /// is not the right one.
  std::uint64_t peek(std::uint64_t index) const { return peek_page(memory_.address(index)); }
  void check_peeked(std::uint64_t index, std::uint64_t word) const {
    const std::uint64_t want = kind(index) == PageKind::zero ? 0 : name(index);
    if (word != want) report(index, {PageFault::lost, word, want});
  }

  /// Notes a number for page `index`; says whether it is another one than before. Needs `touch`.
  bool mark(std::uint64_t index, std::uint32_t number) {
    const bool changed = marks_[index] != number;
    marks_[index] = number;
    return changed;
  }

  /// Fails the machine when page `index` is not as it was last written.
  void verify(std::uint64_t index) const {
    const PageVerdict verdict =
        verify_page_as(name(index), memory_.address(index), kind(index), generations_[index]);
    if (verdict.fault != PageFault::none) report(index, verdict);
  }

 private:
  /// The address that the page begins with.
  std::uint64_t name(std::uint64_t index) const { return memory_.address(original(index)); }
  [[noreturn]] void report(std::uint64_t index, const PageVerdict& verdict) const;

  MemoryMap memory_;
  std::uint32_t* generations_ = nullptr;
  std::uint32_t* marks_ = nullptr;
  std::uint64_t pages_ = 0;
  std::uint64_t zero_percent_ = 0;
  std::uint64_t random_percent_ = 0;
  std::uint64_t copies_percent_ = 0;
  PageWrite write_ = PageWrite::spread;
  Atomic<std::uint64_t> next_chunk_;
  Atomic<std::uint64_t> filled_;
};

}  // namespace guest
