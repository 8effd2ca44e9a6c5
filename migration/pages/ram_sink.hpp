#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <vector>

#include "migration/pages/page_sink.hpp"
#include "migration/pages/page_target.hpp"

namespace migration {

/// Puts pages straight into RAM, while no vCPU runs and no page is waited for: raw pages are read
/// from the socket into it, and blocks unpacked into it.
class RamSink final : public PageSink {
 public:
  explicit RamSink(PageTarget& target) : target_(target) {}

  void put_raw(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
               std::size_t bytes) override;
  void put_compressed(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                      std::size_t bytes, BlockFormat format) override;
  void put_deltas(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                  std::size_t bytes) override;
  void put_same(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                std::size_t bytes) override;
  void put_alike(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                 std::size_t bytes) override;
  void put_zero(std::span<const vmm::PageRange> ranges) override;

 private:
  PageTarget& target_;
  PageCodec codec_;
  std::vector<std::byte> pages_;  ///< on their way to several places
  std::vector<iovec> parts_;
};

}  // namespace migration
