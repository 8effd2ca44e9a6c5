#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmm {

inline constexpr std::size_t kPageSize = 4096;
inline constexpr std::uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
inline constexpr std::uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
inline constexpr std::uint64_t operator""_GiB(unsigned long long n) { return n << 30; }

/// A guest physical address. A type of its own, so that it is never mixed up with a host pointer,
/// an offset into RAM or a page number.
struct GuestAddress {
  std::uint64_t value = 0;
  auto operator<=>(const GuestAddress&) const = default;
};

/// Number of a page of guest RAM, counted over RAM alone: 0 is the lowest page, and the hole under
/// 4 GiB has no numbers. Dense, so bitmaps over RAM waste nothing. `GuestMemory::address_of` gives
/// the guest physical address.
using PageIndex = std::uint64_t;

/// `count` consecutive pages of RAM from `first` on.
struct PageRange {
  PageIndex first = 0;
  std::uint64_t count = 0;

  [[nodiscard]] constexpr PageIndex end() const { return first + count; }
  bool operator==(const PageRange&) const = default;
};

/// Adds pages behind all others, to the last run where they follow it.
inline void append(std::vector<PageRange>& ranges, PageRange range) {
  if (!ranges.empty() && ranges.back().end() == range.first) {
    ranges.back().count += range.count;
  } else {
    ranges.push_back(range);
  }
}

[[nodiscard]] constexpr std::uint64_t count_pages(std::span<const PageRange> ranges) {
  std::uint64_t pages = 0;
  for (const PageRange& range : ranges) pages += range.count;
  return pages;
}

}  // namespace vmm
