#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "vmm/memory/guest_address.hpp"

namespace migration {

/// The last faults, from the thread that serves them to those that push: that one must neither wait
/// for them nor do their work, since a vCPU may wait for it.
class RecentFaults {
 public:
  static constexpr std::size_t kKept = 128;

  /// One thread at a time.
  void add(vmm::PageIndex page) {
    const std::uint64_t added = added_.load(std::memory_order_relaxed);
    pages_[added % kKept].store(page, std::memory_order_relaxed);
    added_.store(added + 1, std::memory_order_release);
  }

  /// The pages that were added since the last call, oldest first; of more than kKept the last of
  /// them. Pages that are added meanwhile may stand in for the oldest. One thread at a time.
  [[nodiscard]] std::vector<vmm::PageIndex> take_new() {
    std::vector<vmm::PageIndex> pages;
    const std::uint64_t added = added_.load(std::memory_order_acquire);
    taken_ = std::max(taken_, added - std::min<std::uint64_t>(added, kKept));
    for (; taken_ < added; ++taken_) {
      pages.push_back(pages_[taken_ % kKept].load(std::memory_order_relaxed));
    }
    return pages;
  }

 private:
  std::array<std::atomic<vmm::PageIndex>, kKept> pages_{};
  std::atomic<std::uint64_t> added_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace migration
