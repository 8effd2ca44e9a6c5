#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "vmm/memory/dirty_log.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// The pages of one round, handed out in chunks to the channels that share them. A chunk's dirty
/// bits are cleared just before its pages are read, so that little is written in between.
class Round {
 public:
  /// Every page that was ever touched, found chunk by chunk. `log` is null when no vCPU runs.
  Round(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log);
  /// What the log found dirty. `log` is null when no vCPU runs: then nothing need be cleared.
  Round(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log, vmm::DirtyBitmap dirty);

  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  [[nodiscard]] std::uint32_t number() const { return number_; }
  /// The next chunk that has pages to send; nullopt when the round is handed out. Any thread.
  [[nodiscard]] std::optional<vmm::PageRange> next_chunk();
  /// The pages to send, complete within the chunks that were handed out.
  [[nodiscard]] const vmm::DirtyBitmap& pages() const { return pages_; }

 private:
  std::uint32_t number_;
  vmm::GuestMemory& memory_;
  vmm::DirtyLog* log_;
  bool discover_;
  vmm::DirtyBitmap pages_;
  std::atomic<vmm::PageIndex> next_ = 0;
};

}  // namespace migration
