#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "migration/net/stream.hpp"
#include "migration/pages/page_codec.hpp"
#include "migration/pages/page_sender.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// Frames of single pages, gathered for one write to the fault connection. A page that goes raw is
/// sent from where it is. One thread at a time.
class SinglePageFrames {
 public:
  /// `digests`: each page's goes with it.
  SinglePageFrames(const vmm::GuestMemory& memory, PageCounters& counters, bool digests);

  /// `compressed`: if that makes it smaller.
  void add(wire::FrameType type, vmm::PageIndex index, bool compressed);
  [[nodiscard]] bool empty() const { return frames_.empty(); }
  void clear();
  /// Writes them all, and is empty then; how many bytes that were.
  std::uint64_t write(net::Stream& stream);

 private:
  /// Where a page goes in between: after so many bytes of frames_.
  struct Insert {
    std::size_t after = 0;
    std::span<const std::byte> page;
  };

  const vmm::GuestMemory& memory_;
  PageCounters& counters_;
  const bool digests_;
  PageCodec codec_;
  std::vector<std::byte> compressed_;
  wire::Bytes frames_;  ///< but for the pages that are sent from where they are
  std::vector<Insert> inserts_;
  std::vector<iovec> parts_;
};

}  // namespace migration
