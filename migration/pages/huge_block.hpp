#pragma once

#include <cstddef>
#include <span>

#include "vmm/memory/huge_page.hpp"

namespace migration {

/// Room for one huge page of data, on a huge page of its own where the host gives one: the kernel
/// can then move it whole to where it belongs. Costs nothing until it is first used.
class HugeBlock {
 public:
  static constexpr std::size_t kSize = vmm::kHugePage;

  HugeBlock() = default;
  ~HugeBlock();
  HugeBlock(const HugeBlock&) = delete;
  HugeBlock& operator=(const HugeBlock&) = delete;

  /// All zero, and aligned as a huge page is. std::system_error when the host has no room.
  [[nodiscard]] std::span<std::byte> zeroed();
  /// It was not moved away, or not whole.
  void mark_stale() { stale_ = true; }

 private:
  std::byte* reserved_ = nullptr;  ///< twice the size, so that an aligned block lies within
  std::byte* block_ = nullptr;
  bool stale_ = false;  ///< to be mapped anew
};

}  // namespace migration
