#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "migration/pages/huge_block.hpp"
#include "migration/pages/page_sink.hpp"
#include "migration/postcopy/fault_watch.hpp"
#include "migration/postcopy/page_installer.hpp"

namespace migration {

/// Installs pages in RAM of which pages are missing, while the guest may run: they are put together
/// where no vCPU sees half a page. The channel's thread leaves the processor to the guest, and to
/// whoever serves its faults.
class MissingPageSink final : public PageSink {
 public:
  /// Both outlive this object.
  MissingPageSink(PageInstaller& installer, const FaultWatch& faults)
      : installer_(installer), faults_(faults) {}

  void put_raw(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
               std::size_t bytes) override;
  void put_compressed(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                      std::size_t bytes, BlockFormat format) override;
  /// Refused: what these pages were is gone, and the guest may have written any other one.
  void put_deltas(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                  std::size_t bytes) override;
  void put_same(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                std::size_t bytes) override;
  void put_alike(std::span<const vmm::PageRange> ranges, net::BufferedReader& in,
                 std::size_t bytes) override;
  void put_zero(std::span<const vmm::PageRange> ranges) override;

 private:
  void make_way();
  /// The digests, which come before the pages. How many bytes of the frame are left.
  [[nodiscard]] std::size_t read_digests(std::uint64_t pages, net::BufferedReader& in,
                                         std::size_t bytes);
  void put_block(std::span<const vmm::PageRange> ranges, net::BufferedReader& in);
  [[nodiscard]] std::span<std::byte> room_for(std::uint64_t pages);

  PageInstaller& installer_;
  const FaultWatch& faults_;
  bool aside_ = false;
  std::vector<std::uint64_t> digests_;
  std::vector<std::byte> pages_;
  HugeBlock block_;
  PageCodec codec_;
  std::vector<iovec> parts_;
};

}  // namespace migration
