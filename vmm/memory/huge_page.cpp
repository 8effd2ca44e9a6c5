#include "vmm/memory/huge_page.hpp"

#include <sys/mman.h>

#include <cassert>

// What headers before Linux 5.14 and 6.1 lack, with the kernel's values.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace vmm {

bool make_huge(std::byte* block) {
  assert(reinterpret_cast<std::uintptr_t>(block) % kHugePage == 0);
  // The kernel takes a block without a single page for one that is just being truncated. Touched by
  // a system call, as a tmpfs that is full would end this process by SIGBUS.
  return ::madvise(block, kPageSize, MADV_POPULATE_READ) == 0 &&
         ::madvise(block, kHugePage, MADV_COLLAPSE) == 0;
}

}  // namespace vmm
