#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/memory/dirty_log.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration {

/// What a channel sends next.
struct Chunk {
  std::vector<vmm::PageRange> data;    ///< to be read, sorted and sent
  std::vector<vmm::PageRange> absent;  ///< never touched: zero, and not to be read
};

/// The pages of one round, handed out in chunks to the channels that share them.
class Round {
 public:
  explicit Round(std::uint32_t number) : number_(number) {}
  virtual ~Round() = default;
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  [[nodiscard]] std::uint32_t number() const { return number_; }
  /// Nullopt when the round is handed out. Any thread.
  [[nodiscard]] virtual std::optional<Chunk> next_chunk() = 0;
  /// Somebody may be waiting for each page: a chunk goes out before the next one is taken.
  [[nodiscard]] virtual bool urgent() const { return false; }
  /// Each page goes with its digest.
  [[nodiscard]] virtual bool digests() const { return false; }

 private:
  std::uint32_t number_;
};

/// A round of pre-copy. A chunk's dirty bits are cleared just before its pages are read, so that
/// little is written in between.
class PreCopyRound final : public Round {
 public:
  /// Every page that was ever touched, found chunk by chunk. `log` is null when no vCPU runs.
  PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log);
  /// What the log found dirty. `log` is null when no vCPU runs: then nothing need be cleared.
  PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
               vmm::DirtyBitmap dirty);

  [[nodiscard]] std::optional<Chunk> next_chunk() override;
  /// Hands out no more. What was not handed out is still dirty in the log.
  void stop() { stopped_ = true; }

  /// Pages handed out so far.
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// Pages below this one have been taken up.
  [[nodiscard]] vmm::PageIndex taken_up() const;
  /// The pages that were handed out, when the round has ended.
  [[nodiscard]] vmm::DirtyBitmap handed_out() const;

 private:
  vmm::GuestMemory& memory_;
  vmm::DirtyLog* log_;
  bool discover_;
  vmm::DirtyBitmap pages_;
  std::atomic<vmm::PageIndex> next_ = 0;
  std::atomic<std::uint64_t> count_ = 0;
  std::atomic<bool> stopped_ = false;
};

}  // namespace migration
