#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "migration/wire/decode.hpp"
#include "vmm/memory/guest_memory.hpp"

/// `--verify`: proof that RAM at the destination is RAM at the source, byte for byte, taken while
/// no vCPU runs. Pages are compared by 64-bit XXH3 digests: against faults, not against forgers.
namespace migration {

/// The source's pages that were ever touched, in stretches of at most wire::kMaxDigestPages. All
/// others are zero. Those of `without` are left out.
[[nodiscard]] std::vector<vmm::PageRange> pages_to_digest(const vmm::GuestMemory& memory,
                                                          const vmm::PageSet* without = nullptr);
[[nodiscard]] std::vector<std::uint64_t> digest(const vmm::GuestMemory& memory,
                                                vmm::PageRange range);

/// The destination's side. No page is populated by looking at it.
class RamVerifier {
 public:
  explicit RamVerifier(const vmm::GuestMemory& memory);

  /// Compares; remembers the first page that differs. ProtocolError when some of these pages have
  /// been told before.
  void check(const wire::Digests& digests);
  /// After the last digests: what no digest covered must be zero, but for the pages of `without`.
  /// Nullopt when all RAM agreed, else the first page that does not.
  [[nodiscard]] std::optional<std::string> finish(const vmm::PageSet* without = nullptr);

 private:
  const vmm::GuestMemory& memory_;
  vmm::PageSet populated_;
  vmm::PageSet covered_;
  std::optional<vmm::PageIndex> first_difference_;
};

}  // namespace migration
