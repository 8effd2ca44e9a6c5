#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "migration/base/page_hash.hpp"
#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/page_set.hpp"

namespace migration {

/// The hashes of the pages that one side holds. Takes 16 bytes for each of them.
class HeldHashes {
 public:
  /// `hashes`: one for each page of `held`, in order. Throws std::invalid_argument when they are
  /// not as many.
  HeldHashes(vmm::PageSet held, std::vector<PageHash> hashes);

  [[nodiscard]] const vmm::PageSet& held() const { return held_; }
  [[nodiscard]] std::span<const PageHash> hashes() const { return hashes_; }

  /// Whether that page is held, with that content.
  [[nodiscard]] bool same(vmm::PageIndex page, const PageHash& hash) const;
  /// The pages of `ranges`, of which `hashes` has one each, that are held with that content: in
  /// maximal runs. What it takes depends on how many are asked for, and not on RAM.
  [[nodiscard]] std::vector<vmm::PageRange> same(std::span<const vmm::PageRange> ranges,
                                                 std::span<const PageHash> hashes) const;

 private:
  [[nodiscard]] std::size_t position_of(vmm::PageIndex page) const;

  vmm::PageSet held_;
  std::vector<std::uint32_t> before_;  ///< for each word of `held_`: pages that are held before it
  std::vector<PageHash> hashes_;
};

}  // namespace migration
