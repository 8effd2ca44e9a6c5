#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "migration/pages/huge_page_collapser.hpp"
#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// How far it is, for people: any thread may look, also when the target has gone.
struct PageTally {
  std::atomic<std::uint32_t> round = 1;
  std::atomic<std::uint64_t> pages = 0;  ///< a page that came twice counts twice
  std::atomic<std::uint64_t> bytes = 0;  ///< of page frames
};

/// Where the channels of a migration put pages.
struct PageTarget {
  explicit PageTarget(vmm::GuestMemory& ram) : memory(ram), written(ram.page_count()) {
    if (ram.file() >= 0) collapser.emplace(ram.pages({0, ram.page_count()}));
  }

  vmm::GuestMemory& memory;
  /// Pages that hold something, so that a zero page costs nothing where nothing is.
  vmm::AtomicPageSet written;
  /// Pages that have come in the round that is under way: no more than RAM has, as each is sent
  /// once.
  std::atomic<std::uint64_t> in_round = 0;
  /// While no vCPU runs and pages are written straight into RAM, if that is a file.
  std::optional<HugePageCollapser> collapser;
  const std::shared_ptr<PageTally> tally = std::make_shared<PageTally>();
};

}  // namespace migration
