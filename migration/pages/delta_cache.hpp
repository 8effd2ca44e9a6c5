#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "vmm/memory/guest_address.hpp"

namespace migration {

/// What was last sent of pages that are sent again and again: the bases of their differences.
/// Bounded: a page has one place, which it shares with others. A page that is sent again in every
/// round, or every other, keeps its place; so where the cache is too small for all of them, it
/// holds some, and not always those that went last.
///
/// Any thread.
class DeltaCache {
 public:
  /// Of `bytes`, rounded down to whole pages: at least one. std::bad_alloc when it is not to be
  /// had.
  explicit DeltaCache(std::uint64_t bytes);

  /// A page's place in the hands of one thread; or none.
  class Place {
   public:
    Place(Place&& other) noexcept;
    Place& operator=(Place&&) = delete;
    ~Place();
    /// All else is for a place that was.
    [[nodiscard]] bool taken() const { return cache_ != nullptr; }

    /// What was sent of the page in round `sent`; nothing where that is not here.
    [[nodiscard]] std::span<const std::byte> base(std::uint32_t sent) const;
    /// It goes in round `round` with these bytes.
    void store(std::span<const std::byte> bytes, std::uint32_t round);

   private:
    friend class DeltaCache;
    Place() = default;
    Place(DeltaCache& cache, vmm::PageIndex page) : cache_(&cache), page_(page) {}
    DeltaCache* cache_ = nullptr;
    vmm::PageIndex page_ = 0;
  };
  /// None where another page keeps it in round `round`, or a thread has it in its hands.
  [[nodiscard]] Place place_of(vmm::PageIndex page, std::uint32_t round);

  /// Bytes that it takes.
  [[nodiscard]] std::uint64_t used_bytes() const { return used_ * vmm::kPageSize; }

 private:
  struct Slot {
    std::atomic_flag taken;   ///< as all of a slot, 0 at first
    std::uint32_t round = 0;  ///< in which its content was sent; 0: it has none
    vmm::PageIndex page = 0;
  };
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  [[nodiscard]] std::size_t index_of(vmm::PageIndex page) const { return page % size_; }
  [[nodiscard]] std::span<std::byte> bytes_of(vmm::PageIndex page);

  const std::uint64_t size_;  ///< slots
  // The host gives the memory of these as it is used.
  std::unique_ptr<Slot[], Free> slots_;
  std::unique_ptr<std::byte[], Free> bytes_;
  std::atomic<std::uint64_t> used_ = 0;  ///< slots
};

}  // namespace migration
