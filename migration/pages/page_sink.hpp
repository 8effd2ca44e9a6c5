#pragma once

#include <cstddef>
#include <span>

#include "migration/net/buffered_reader.hpp"
#include "migration/pages/page_codec.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration {

/// Where a channel puts the pages that it reads. Each channel has one of its own, which none but
/// the channel's thread calls.
///
/// `ranges` is at least one, each within RAM. What comes of the frame behind them is the next
/// `bytes` bytes of `in`, and has been read on return. wire::ProtocolError for pages that do not
/// fill the frame, or must not come; std::system_error for a link that is lost, and where the host
/// has no room.
class PageSink {
 public:
  PageSink() = default;
  virtual ~PageSink() = default;
  PageSink(const PageSink&) = delete;
  PageSink& operator=(const PageSink&) = delete;

  /// The pages as they are.
  virtual void put_raw(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                       std::size_t bytes) = 0;
  /// One block of the pages.
  virtual void put_compressed(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                              std::size_t bytes, BlockFormat format) = 0;
  /// For each page its difference from what is there.
  virtual void put_deltas(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                          std::size_t bytes) = 0;
  /// For each page which other one it is like, that is there.
  virtual void put_same(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                        std::size_t bytes) = 0;
  /// What all the pages hold.
  virtual void put_alike(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                         std::size_t bytes) = 0;
  virtual void put_zero(std::span<const vmm::PageRange> ranges) = 0;
};

}  // namespace migration
