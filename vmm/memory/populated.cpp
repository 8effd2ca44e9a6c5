#include "vmm/memory/populated.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>

#include "vmm/os/mutex.hpp"
#include "vmm/os/unique_fd.hpp"

// What headers before Linux 6.7 lack, with the kernel's values.
#ifndef PAGEMAP_SCAN
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
struct page_region {  // NOLINT(readability-identifier-naming): the kernel's
  __u64 start;
  __u64 end;
  __u64 categories;
};
struct pm_scan_arg {  // NOLINT(readability-identifier-naming): the kernel's
  __u64 size;
  __u64 flags;
  __u64 start;
  __u64 end;
  __u64 walk_end;
  __u64 vec;
  __u64 vec_len;
  __u64 max_pages;
  __u64 category_inverted;
  __u64 category_mask;
  __u64 category_anyof_mask;
  __u64 return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

namespace vmm {

namespace {

// Bits of a pagemap entry (Linux Documentation/admin-guide/mm/pagemap.rst). A swapped page has
// content as much as a present one.
constexpr std::uint64_t kPagePresent = std::uint64_t{1} << 63;
constexpr std::uint64_t kPageSwapped = std::uint64_t{1} << 62;

[[noreturn]] void cannot_tell(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

UniqueFd open_pagemap() { return UniqueFd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)); }

/// A program with file capabilities or a set-group-id bit, or one that its user may not read, is
/// not dumpable, and the files of its process below /proc are root's. So it is made dumpable for
/// the moment in which one is opened. Who may trace it then the kernel decides by its capabilities
/// and ids as ever; that it was dumpable for root alone cannot be set again, so it is for nobody.
UniqueFd open_pagemap_of_undumpable() {
  if (::prctl(PR_SET_DUMPABLE, 1) < 0) cannot_tell("PR_SET_DUMPABLE");
  UniqueFd file = open_pagemap();
  const int error = errno;
  ::prctl(PR_SET_DUMPABLE, 0);
  errno = error;
  return file;
}

/// The kernel's map of this process's pages, opened once. Asking it touches no page.
int pagemap() {
  static Mutex mutex;
  static UniqueFd file FERRY_GUARDED_BY(mutex);
  const Lock lock(mutex);
  if (file.get() >= 0) return file.get();
  file = open_pagemap();
  if (file.get() < 0 && errno == EACCES && ::prctl(PR_GET_DUMPABLE) != 1) {
    file = open_pagemap_of_undumpable();
  }
  if (file.get() < 0) cannot_tell("cannot open /proc/self/pagemap (is /proc mounted?)");
  return file.get();
}

/// Fills `regions` with the next runs of pages in [start, end) that have content, moves `start`
/// behind what was looked at, and returns how many runs there are; below zero on an error.
int scan(std::uint64_t& start, std::uint64_t end, std::span<page_region> regions) {
  pm_scan_arg request{};
  request.size = sizeof(request);
  request.start = start;
  request.end = end;
  request.vec = reinterpret_cast<std::uintptr_t>(regions.data());
  request.vec_len = regions.size();
  request.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
  request.return_mask = PAGE_IS_PRESENT;
  const int found = ::ioctl(pagemap(), PAGEMAP_SCAN, &request);
  if (found >= 0) start = request.walk_end;
  return found;
}

void add_entries(std::uint64_t first_entry, PageRange range, PageSet& into) {
  std::array<std::uint64_t, 1024> entries{};
  for (PageIndex page = range.first; page < range.end();) {
    const std::uint64_t count = std::min<std::uint64_t>(entries.size(), range.end() - page);
    const ssize_t got =
        ::pread(pagemap(), entries.data(), count * 8, static_cast<off_t>((first_entry + page) * 8));
    if (got < 0) cannot_tell("reading /proc/self/pagemap");
    if (got != static_cast<ssize_t>(count * 8)) {
      errno = EIO;
      cannot_tell("/proc/self/pagemap ended early");
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      if ((entries[i] & (kPagePresent | kPageSwapped)) != 0) into.set(page + i);
    }
    page += count;
  }
}

}  // namespace

void open_page_map() { static_cast<void>(pagemap()); }

bool passes_over_holes() {
  static const bool passes = [] {
    std::uint64_t nowhere = 0;
    return scan(nowhere, 0, {}) >= 0;
  }();
  return passes;
}

void add_present(const std::byte* base, PageRange range, PageSet& into) {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  if (!passes_over_holes()) return add_entries(address / kPageSize, range, into);
  std::array<page_region, 256> regions{};
  std::uint64_t at = address + range.first * kPageSize;
  const std::uint64_t end = address + range.end() * kPageSize;
  while (at < end) {
    const int found = scan(at, end, regions);
    if (found < 0) cannot_tell("PAGEMAP_SCAN of guest RAM");
    for (const page_region& region : std::span(regions).first(static_cast<std::size_t>(found))) {
      into.set(
          PageRange{(region.start - address) / kPageSize, (region.end - region.start) / kPageSize});
    }
  }
}

/// What is in memory is found at once, and only the rest is looked for in the file, where it may be
/// in the swap: SEEK_HOLE would be simpler, but goes through the whole file for every small range.
void add_data_of_file(int file, const std::byte* base, PageRange range, PageSet& into) {
  std::array<unsigned char, 4096> in_memory{};
  for (PageIndex first = range.first; first < range.end();) {
    const std::uint64_t count = std::min<std::uint64_t>(in_memory.size(), range.end() - first);
    void* const start = const_cast<std::byte*>(base) + first * kPageSize;
    if (::mincore(start, count * kPageSize, in_memory.data()) < 0)
      cannot_tell("mincore of guest RAM");
    for (std::uint64_t i = 0; i < count; ++i) {
      if ((in_memory[i] & 1) != 0) into.set(first + i);
    }
    const PageIndex end = first + count;
    for (PageIndex page = first; page < end;) {
      if (into.test(page)) {
        ++page;
        continue;
      }
      const off_t data = ::lseek(file, static_cast<off_t>(page * kPageSize), SEEK_DATA);
      if (data < 0 && errno != ENXIO) cannot_tell("SEEK_DATA on guest RAM");
      page = data < 0 ? end : static_cast<PageIndex>(data) / kPageSize;
      if (page < end) into.set(page++);
    }
    first = end;
  }
}

}  // namespace vmm
