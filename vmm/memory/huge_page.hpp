#pragma once

#include <cstddef>
#include <cstdint>

#include "vmm/memory/guest_address.hpp"

namespace vmm {

inline constexpr std::uint64_t kHugePage = 2_MiB;
inline constexpr std::uint64_t kHugePagePages = kHugePage / kPageSize;

/// Makes a huge page of the aligned block of kHugePage bytes at `block`, in a mapped file on a
/// tmpfs: there the kernel does not by itself, unless it is mounted so. What is there stays, and
/// what was a hole is zero. False where the host cannot (before Linux 6.1, or while a userfaultfd
/// waits for holes of that part of the file) or has none to give; then there may be a page where a
/// hole was.
bool make_huge(std::byte* block);

}  // namespace vmm
