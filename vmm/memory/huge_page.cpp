#include "vmm/memory/huge_page.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cassert>

// What headers before Linux 6.1 lack, with the kernel's value.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace vmm {

bool make_huge(std::span<std::byte> blocks) {
  assert(blocks.size() % kHugePage == 0);
  assert(reinterpret_cast<std::uintptr_t>(blocks.data()) % kHugePage == 0);
  for (std::size_t at = 0; at < blocks.size(); at += kHugePage) {
    // The kernel takes a block without a single page for one that is just being truncated.
    static_cast<void>(std::atomic_ref(blocks[at]).load(std::memory_order_relaxed));
  }
  return ::madvise(blocks.data(), blocks.size(), MADV_COLLAPSE) == 0;
}

}  // namespace vmm
