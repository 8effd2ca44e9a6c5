#pragma once

#include <cstdint>

#include "guest/workload/random.hpp"

/// One filled page. A page that is not zero starts with its own address, its generation and a
/// checksum over everything else in it.
namespace guest {

enum class PageKind : std::uint8_t { zero, random, text };

enum class PageFault : std::uint8_t {
  none,
  lost,   ///< holds another page's content, or zeros
  stale,  ///< whole, but of another generation than the last one written
  torn,   ///< parts of it are not of one generation
};

const char* name(PageFault fault);

/// Where a write goes.
enum class PageWrite : std::uint8_t {
  spread,  ///< a word in each quarter of the page, and a new generation
  block,   ///< 64 bytes in one place; the generation stays
};

struct PageVerdict {
  PageFault fault = PageFault::none;
  std::uint64_t got = 0;  ///< the address, generation, checksum or word that was found
  std::uint64_t want = 0;
};

/// Writes every word of the page; `generation` is ignored for zero pages.
void fill_page(std::uint64_t address, PageKind kind, std::uint32_t generation);

/// The same of a page that stands for something else than its own memory, under another address.
void fill_page_as(std::uint64_t name, std::uint64_t address, PageKind kind,
                  std::uint32_t generation);
PageVerdict verify_page_as(std::uint64_t name, std::uint64_t address, PageKind kind,
                           std::uint32_t generation);

/// A small write to a page that is not zero: some words, the generation, which grows by one if the
/// write is spread, and the checksum. The checksum is linear in the words, so it costs no pass over
/// the page. Refuses a page that is not of `generation`, which the write would make look right
/// again.
PageVerdict touch_page(std::uint64_t address, PageKind kind, std::uint32_t generation,
                       Random& random, PageWrite where = PageWrite::spread);

/// The same of a page that stands for something else than its own memory.
PageVerdict touch_page_as(std::uint64_t name, std::uint64_t address, PageKind kind,
                          std::uint32_t generation, Random& random, PageWrite where);

/// What begins a page that is not zero: its address. 0 where it is zero.
std::uint64_t peek_page(std::uint64_t address);

PageVerdict verify_page(std::uint64_t address, PageKind kind, std::uint32_t generation);

}  // namespace guest
