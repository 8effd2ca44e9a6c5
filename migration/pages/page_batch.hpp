#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "migration/wire/encode.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration {

/// Pages that are being gathered for one frame.
struct PageBatch {
  std::vector<vmm::PageRange> ranges;
  std::uint64_t pages = 0;

  void add(vmm::PageIndex page) { add(vmm::PageRange{page, 1}); }
  void add(vmm::PageRange range);
  [[nodiscard]] std::uint64_t bytes() const { return pages * vmm::kPageSize; }
  void clear();
};

/// Such pages in a private copy, which is what is sent: the guest may be writing them. A block at
/// most.
struct PageCopies : PageBatch {
  static constexpr std::size_t kBlock = wire::kMaxLz4Pages * vmm::kPageSize;

  std::vector<std::byte> content;

  /// A copy of one page more, in its place behind the others; it is theirs once it is added.
  std::span<const std::byte> copy(std::span<const std::byte> page);
  [[nodiscard]] std::span<const std::byte> all() const { return std::span(content).first(bytes()); }
};

/// Such pages, and what the frame says of each.
struct DescribedPages : PageBatch {
  wire::Bytes body;

  void clear();
};

/// Pages that all repeat one word.
struct WordPages : PageBatch {
  std::uint64_t word = 0;
};

}  // namespace migration
