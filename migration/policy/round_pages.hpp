#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "migration/policy/hot_pages.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// The pages of one round of pre-copy: in which order they are taken up, which of them are handed
/// out to be sent, and which are held back as hot.
///
/// For each chunk, in this order: `claim`, take its pages out of the dirty log (a round that
/// discovers adds them to `pages`), `hand_out`. Two calls of `claim`, `watch` and `sampled` must
/// not overlap. Different chunks may be handed out by several threads at once, and any thread may
/// read the counts.
class RoundPages {
 public:
  /// 8 MiB: small enough to share out evenly, large enough that the calls per chunk do not show. No
  /// two channels write the same block of a set.
  static constexpr std::uint64_t kChunkPages = vmm::PageSet::kBlockPages;
  /// A page is held back that was written in two of so many samples.
  static constexpr unsigned kSamples = 8;

  /// A round over `pages` pages that discovers, chunk by chunk, which of them were ever touched.
  explicit RoundPages(std::uint64_t pages, std::uint64_t chunk = kChunkPages);
  /// A round over the pages that it is given.
  explicit RoundPages(vmm::PageSet given, std::uint64_t chunk = kChunkPages);

  [[nodiscard]] bool discovers() const { return discovers_; }
  /// Nullopt when all is claimed, or once the round is stopped.
  [[nodiscard]] std::optional<vmm::PageRange> claim();
  [[nodiscard]] vmm::PageSet& pages() { return pages_; }
  [[nodiscard]] const vmm::PageSet& pages() const { return pages_; }
  /// The runs of the chunk's pages that are to be sent now.
  [[nodiscard]] std::vector<vmm::PageRange> hand_out(vmm::PageRange chunk);
  /// Hands out no more.
  void stop() { stopped_ = true; }

  /// From now on samples tell which pages the guest writes again and again.
  void watch();
  [[nodiscard]] bool watching() const { return history_.has_value(); }
  /// What the guest has written since `watch`, or since the last sample: at equal intervals.
  void sampled(vmm::PageSet written);

  /// What was not yet claimed.
  [[nodiscard]] vmm::PageRange rest() const { return {next_, pages_.pages() - next_}; }
  /// Pages taken up so far: handed out or held back.
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t held_back() const { return held_back_; }
  /// The pages that were handed out, when the round has ended.
  [[nodiscard]] vmm::PageSet handed_out() const;
  /// When the round has ended: what must still be sent though the log need not know it as dirty.
  /// That is what was held back, and what the round did not get to: of what it was given the log
  /// has no longer what the round before held back.
  [[nodiscard]] vmm::PageSet left() const;

 private:
  void pass_over_empty_chunks();

  bool discovers_;
  std::uint64_t chunk_;
  vmm::PageSet pages_;
  vmm::PageSet hot_;                 ///< below next_: held back; changes only at and above it
  std::optional<HotPages> history_;  ///< of the pages at and above next_, once they are watched
  std::atomic<vmm::PageIndex> next_ = 0;
  std::atomic<std::uint64_t> count_ = 0;
  std::atomic<std::uint64_t> held_back_ = 0;
  std::atomic<bool> stopped_ = false;
};

}  // namespace migration
