#include "migration/pages/delta_cache.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "vmm/bytes/copy_bytes.hpp"

namespace migration {

DeltaCache::DeltaCache(std::uint64_t bytes)
    : size_(std::max<std::uint64_t>(bytes / vmm::kPageSize, 1)),
      slots_(static_cast<Slot*>(std::calloc(size_, sizeof(Slot)))),
      bytes_(static_cast<std::byte*>(std::malloc(size_ * vmm::kPageSize))) {
  if (!slots_ || !bytes_) throw std::bad_alloc();
}

std::span<std::byte> DeltaCache::bytes_of(vmm::PageIndex page) {
  return {&bytes_[index_of(page) * vmm::kPageSize], vmm::kPageSize};
}

DeltaCache::Place DeltaCache::place_of(vmm::PageIndex page, std::uint32_t round) {
  Slot& slot = slots_[index_of(page)];
  if (slot.taken.test_and_set(std::memory_order_acquire)) return {};
  Place place(*this, page);
  const bool kept = slot.round != 0 && slot.page != page && slot.round + 1 >= round;
  return kept ? Place() : std::move(place);
}

DeltaCache::Place::Place(Place&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), page_(other.page_) {}

DeltaCache::Place::~Place() {
  if (cache_) cache_->slots_[cache_->index_of(page_)].taken.clear(std::memory_order_release);
}

std::span<const std::byte> DeltaCache::Place::base(std::uint32_t sent) const {
  const Slot& slot = cache_->slots_[cache_->index_of(page_)];
  if (slot.round == 0 || slot.page != page_ || slot.round != sent) return {};
  return cache_->bytes_of(page_);
}

void DeltaCache::Place::store(std::span<const std::byte> bytes, std::uint32_t round) {
  Slot& slot = cache_->slots_[cache_->index_of(page_)];
  if (slot.round == 0) ++cache_->used_;
  slot.round = round;
  slot.page = page_;
  vmm::copy_bytes(bytes, cache_->bytes_of(page_));
}

}  // namespace migration
