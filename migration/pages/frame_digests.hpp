#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// The digests that go with the pages of a frame, in a round that wants them.
class FrameDigests {
 public:
  void want(bool whether) { wanted_ = whether; }
  /// Of these pages, until the next call; nothing where none are wanted.
  [[nodiscard]] std::span<const std::byte> of(const vmm::GuestMemory& memory,
                                              std::span<const vmm::PageRange> ranges);

 private:
  bool wanted_ = false;
  std::vector<std::uint64_t> digests_;
};

}  // namespace migration
