#include "migration/pages/huge_block.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace migration {

namespace {

[[noreturn]] void fail() {
  throw std::system_error(errno, std::generic_category(), "mapping room for a huge page");
}

}  // namespace

HugeBlock::~HugeBlock() {
  if (reserved_ != nullptr) ::munmap(reserved_, 2 * kSize);
}

std::span<std::byte> HugeBlock::zeroed() {
  if (reserved_ == nullptr) {
    void* const room =
        ::mmap(nullptr, 2 * kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) fail();
    reserved_ = static_cast<std::byte*>(room);
    block_ = reserved_ + (kSize - reinterpret_cast<std::uintptr_t>(room) % kSize) % kSize;
    stale_ = true;
  }
  if (stale_) {
    // Mapped anew: only where there is not even a page table does the kernel make a huge page.
    if (::mmap(block_, kSize, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
      fail();
    }
    ::madvise(block_, kSize, MADV_HUGEPAGE);  // advice only
    stale_ = false;
  }
  return {block_, kSize};
}

}  // namespace migration
