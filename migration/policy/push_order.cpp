#include "migration/policy/push_order.hpp"

#include <algorithm>

namespace migration {

namespace {

// Tuned by tests/migration/push_order_simulation.hpp. Half or twice as much makes a difference of a
// few per cent, but for a guest with a stride just below kNear: it does better by many small
// bubbles.
constexpr std::size_t kPivots = 16;   // a VM's vCPUs may each have one
constexpr std::uint64_t kNear = 32;   // a fault so near to a bubble is the same reader's
constexpr std::uint64_t kReach = 64;  // an edge goes over so many pages that need no pushing

}  // namespace

PushOrder::PushOrder(Prepaging prepaging, std::uint64_t ram_pages)
    : prepaging_(prepaging), pages_(ram_pages) {}

void PushOrder::faulted(vmm::PageIndex page) {
  if (prepaging_ != Prepaging::bubbling) return;
  cursor_ = page;
  turn_ = 0;
  const auto joined = std::ranges::find_if(bubbles_, [page](const Bubble& bubble) {
    return page + kNear >= bubble.low && page < bubble.high + kNear;
  });
  if (joined == bubbles_.end()) {
    if (bubbles_.size() == kPivots) bubbles_.pop_back();
    bubbles_.insert(bubbles_.begin(), {.low = page, .high = page + 1, .fault = page});
    return;
  }
  if (page != joined->fault) joined->heading = page > joined->fault ? Heading::up : Heading::down;
  joined->fault = page;
  // A reader with a stride has outrun the bubble: it goes on from where the reader is.
  joined->low = std::min(joined->low, page);
  joined->high = std::max(joined->high, page + 1);
  std::rotate(bubbles_.begin(), joined, joined + 1);
}

std::optional<vmm::PageRange> PushOrder::next(const vmm::AtomicPageSet& unsent,
                                              std::uint64_t chunk_pages) {
  if (prepaging_ == Prepaging::none) return std::nullopt;
  while (prepaging_ == Prepaging::bubbling && !bubbles_.empty()) {
    if (turn_ >= bubbles_.size()) turn_ = 0;
    if (const auto range = grow(bubbles_[turn_], unsent, chunk_pages)) {
      ++turn_;
      return range;
    }
    bubbles_.erase(bubbles_.begin() + static_cast<std::ptrdiff_t>(turn_));
  }
  return rest(unsent, chunk_pages);
}

std::optional<vmm::PageRange> PushOrder::grow(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                              std::uint64_t chunk_pages) const {
  if (!bubble.started && bubble.heading == Heading::unknown) {
    if (const auto range = start(bubble, unsent, chunk_pages)) return range;
  }
  switch (bubble.heading) {
    case Heading::up: return grow_up(bubble, unsent, chunk_pages);
    case Heading::down: return grow_down(bubble, unsent, chunk_pages);
    case Heading::unknown: break;
  }
  const bool up = bubble.up_next;
  bubble.up_next = !up;
  const auto range =
      up ? grow_up(bubble, unsent, chunk_pages) : grow_down(bubble, unsent, chunk_pages);
  if (range) return range;
  return up ? grow_down(bubble, unsent, chunk_pages) : grow_up(bubble, unsent, chunk_pages);
}

/// The chunk that the fault lies in, in one piece: two would be small ones.
std::optional<vmm::PageRange> PushOrder::start(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                               std::uint64_t chunk_pages) const {
  bubble.started = true;
  const vmm::PageIndex first = bubble.fault - bubble.fault % chunk_pages;
  const vmm::PageRange chunk = chunk_from(first, chunk_pages);
  bubble.low = std::min(bubble.low, chunk.first);
  bubble.high = std::max(bubble.high, chunk.end());
  if (unsent.count(chunk) == 0) return std::nullopt;
  return chunk;
}

std::optional<vmm::PageRange> PushOrder::grow_up(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                                 std::uint64_t chunk_pages) const {
  if (!bubble.up_open) return std::nullopt;
  const auto page = unsent.first_at_or_after(bubble.high);
  bubble.up_open = page && *page < bubble.high + std::max(kReach, chunk_pages);
  if (!bubble.up_open) return std::nullopt;
  const vmm::PageRange range = chunk_from(*page, chunk_pages);
  bubble.high = range.end();
  return range;
}

std::optional<vmm::PageRange> PushOrder::grow_down(Bubble& bubble, const vmm::AtomicPageSet& unsent,
                                                   std::uint64_t chunk_pages) {
  if (!bubble.down_open) return std::nullopt;
  const auto page = unsent.last_before(bubble.low);
  bubble.down_open = page && *page + std::max(kReach, chunk_pages) >= bubble.low;
  if (!bubble.down_open) return std::nullopt;
  bubble.low = *page - *page % chunk_pages;
  return vmm::PageRange{bubble.low, *page + 1 - bubble.low};
}

std::optional<vmm::PageRange> PushOrder::rest(const vmm::AtomicPageSet& unsent,
                                              std::uint64_t chunk_pages) {
  auto page = unsent.first_at_or_after(cursor_);
  if (!page) page = unsent.first_at_or_after(0);
  if (!page) return std::nullopt;
  const vmm::PageRange range = chunk_from(*page, chunk_pages);
  cursor_ = range.end();
  return range;
}

/// From `page` to the next multiple of the chunk's size.
vmm::PageRange PushOrder::chunk_from(vmm::PageIndex page, std::uint64_t chunk_pages) const {
  const vmm::PageIndex end = std::min(page - page % chunk_pages + chunk_pages, pages_);
  return {page, end - page};
}

}  // namespace migration
