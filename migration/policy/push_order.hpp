#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "migration/base/options.hpp"
#include "vmm/memory/atomic_page_set.hpp"

namespace migration {

/// The order in which the source of a post-copy migration pushes pages that nobody has asked for.
///
/// *bubbling* is the adaptive pre-paging with several pivots of Hines and Gopalan 2009 ("Post-copy
/// based live virtual machine migration using adaptive pre-paging and dynamic self-ballooning",
/// bubbling with multiple pivots): each fault is a pivot, and pages are pushed from it outwards in
/// both directions; the newest pivot is served first, then all in turn. Added to that:
///
/// - A fault at or in a bubble joins it and says where the guest is heading: pages are pushed that
///   way alone from then on, until a fault says otherwise.
/// - An edge stops where the next page to push is far off: another bubble has been there, or the
///   guest itself. So nothing is pushed behind the back of a sequential reader.
/// - Ranges end at multiples of the chunk's size, so that a guest without any locality makes no
/// more
///   and no smaller ranges than *linear* does, and 512 pages are a huge page where all are unsent.
///
/// When no bubble can grow, the rest goes from the newest fault up, and round to it.
///
/// Not thread-safe; `unsent` may change at any time.
class PushOrder {
 public:
  PushOrder(Prepaging prepaging, std::uint64_t ram_pages);

  void set(Prepaging prepaging) { prepaging_ = prepaging; }
  /// The guest waits for `page`, be it unsent or on its way.
  void faulted(vmm::PageIndex page);
  /// What to push next: at most `chunk_pages` (1 or more, may differ from call to call) pages of
  /// RAM, some of them in `unsent`. The caller takes those from it, or they are proposed again.
  /// nullopt when there is nothing to push.
  [[nodiscard]] std::optional<vmm::PageRange> next(const vmm::AtomicPageSet& unsent,
                                                   std::uint64_t chunk_pages);

 private:
  enum class Heading { unknown, up, down };
  /// [low, high) needs no more pushing, as far as this bubble goes.
  struct Bubble {
    vmm::PageIndex low = 0;
    vmm::PageIndex high = 0;
    vmm::PageIndex fault = 0;  ///< the newest
    Heading heading = Heading::unknown;
    bool started = false;
    bool up_next = true;  ///< while the heading is unknown
    bool up_open = true;
    bool down_open = true;
  };

  std::optional<vmm::PageRange> grow(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                     std::uint64_t chunk_pages) const;
  std::optional<vmm::PageRange> start(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                      std::uint64_t chunk_pages) const;
  std::optional<vmm::PageRange> grow_up(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                        std::uint64_t chunk_pages) const;
  static std::optional<vmm::PageRange> grow_down(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                                 std::uint64_t chunk_pages);
  std::optional<vmm::PageRange> rest(const vmm::AtomicPageSet& unsent, std::uint64_t chunk_pages);
  [[nodiscard]] vmm::PageRange chunk_from(vmm::PageIndex page, std::uint64_t chunk_pages) const;

  Prepaging prepaging_;
  std::uint64_t pages_;
  std::vector<Bubble> bubbles_;  ///< newest fault first
  std::size_t turn_ = 0;         ///< the bubble that is served next
  vmm::PageIndex cursor_ = 0;    ///< where the rest goes on
};

}  // namespace migration
