#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "migration/base/page_hash.hpp"
#include "migration/reuse/held_hashes.hpp"
#include "vmm/memory/guest_address.hpp"

namespace migration {

/// Finds content among the pages that the other side holds, by their hashes. Takes some 25 bytes a
/// page that is held.
///
/// The hashes come from the peer. They are spread over buckets by their first bits, which is fast
/// for honest ones; in a bucket they are sorted, so that hostile ones cost O(log n) a look too.
class ContentIndex {
 public:
  explicit ContentIndex(HeldHashes there);

  enum class Match {
    same,       ///< the page is there as it is here
    elsewhere,  ///< another page there has its content
    none,       ///< no page that is held has
  };
  struct Place {
    Match match = Match::none;
    vmm::PageIndex page = 0;  ///< there; of several pages elsewhere the lowest
  };
  [[nodiscard]] Place find(vmm::PageIndex page, const PageHash& hash) const;

 private:
  using Position = std::uint32_t;  ///< among the pages that are held, in order
  struct Entry {
    Position position;
    std::uint32_t page;
  };

  [[nodiscard]] std::size_t bucket_of(const PageHash& hash) const;

  HeldHashes there_;
  unsigned bucket_bits_ = 0;
  std::vector<Position> starts_;  ///< of each bucket in `entries_`, and the end of the last
  std::vector<Entry> entries_;    ///< by bucket, within it by hash, then by page
};

}  // namespace migration
