#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/memory/guest_address.hpp"

namespace migration {

/// RAM of which pages are missing, and which a guest may touch at any time: where channels put the
/// pages then. A page appears whole or not at all, and never a second time. Any thread.
///
/// All of these throw wire::ProtocolError for a page that is not missing or has another digest.
class PageSink {
 public:
  virtual ~PageSink() = default;

  /// Whether each page comes with its digest.
  [[nodiscard]] virtual bool digests() const = 0;
  /// The processor that whoever serves waiting guests needs for itself; -1: none.
  [[nodiscard]] virtual int busy_processor() const = 0;

  virtual void install(std::span<const vmm::PageRange> ranges, std::span<const std::byte> data,
                       std::span<const std::uint64_t> digests) = 0;
  virtual void install_zero(std::span<const vmm::PageRange> ranges) = 0;
  /// The same for pages that lie within the aligned block of 512 pages from `first` on. `block`
  /// holds them where they belong, and zeros in between; it is aligned as a huge page is. Whether
  /// it was lent for good: then the block became a huge page of RAM, and what is at `block` now is
  /// fresh zeros.
  [[nodiscard]] virtual bool install_block(vmm::PageIndex first,
                                           std::span<const vmm::PageRange> ranges,
                                           std::span<std::byte> block,
                                           std::span<const std::uint64_t> digests) = 0;
  /// Where such a block can be put together in RAM itself, out of the guest's sight; empty when it
  /// cannot. Then it is installed or, as it did not come, given back.
  [[nodiscard]] virtual std::span<std::byte> lend_block(vmm::PageIndex first,
                                                        std::span<const vmm::PageRange> ranges) = 0;
  virtual void install_lent(vmm::PageIndex first, std::span<const vmm::PageRange> ranges,
                            std::span<std::byte> block, std::span<const std::uint64_t> digests) = 0;
  virtual void give_back(vmm::PageIndex first) = 0;
};

}  // namespace migration
