#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "migration/pages/huge_room.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/memory/mapping.hpp"

namespace migration {

/// RAM that is a file, before post-copy: huge pages that are in the file already while RAM, which
/// is another mapping of it, still waits for them (Userfault::register_unmapped). What is written
/// here is in RAM as soon as it is mapped there.
class PreparedRam {
 public:
  /// RAM is all holes. std::system_error when it cannot be mapped a second time.
  explicit PreparedRam(vmm::GuestMemory& memory);

  /// Huge pages where many of these lie. Before RAM waits for missing pages: then the kernel makes
  /// none where holes are.
  void prepare(std::span<const vmm::PageRange> touched);
  /// What was not prepared becomes holes, where a huge page that could not be made left a page.
  /// Once RAM waits for missing pages, so that the kernel makes no other huge pages meanwhile.
  void leave_holes() { memory_.discard(room_.others()); }

  /// Whether all of these are in the file, zero until they are written.
  [[nodiscard]] bool has(vmm::PageRange range) const { return room_.made(range); }
  [[nodiscard]] std::span<std::byte> pages(vmm::PageRange range) const {
    return {view_.data() + range.first * vmm::kPageSize, range.count * vmm::kPageSize};
  }
  /// These have been written.
  void written(vmm::PageRange range);

 private:
  void unmap() const;

  vmm::GuestMemory& memory_;
  vmm::Mapping view_;
  HugeRoom room_;
  std::atomic<std::uint64_t> written_ = 0;  ///< pages, since the view was unmapped
};

}  // namespace migration
