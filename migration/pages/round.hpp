#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "migration/pages/free_pages.hpp"
#include "migration/policy/round_pages.hpp"
#include "vmm/kvm/dirty_log.hpp"
#include "vmm/memory/guest_memory.hpp"
#include "vmm/os/mutex.hpp"

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
  /// What earlier rounds sent is at the destination, and may be referred to.
  [[nodiscard]] virtual bool builds_on_earlier() const { return false; }
  /// Whether it may send the page: before, now or later. Of one that it does not the destination
  /// has what earlier rounds sent, all through this round.
  [[nodiscard]] virtual bool takes_up(vmm::PageIndex /*page*/) const { return true; }
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
  /// The same while the guest tells which pages are free: these are left out, as they are told.
  /// Every page was taken out of the log before the guest was asked.
  PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog& log, FreePages& free);
  /// What the log found dirty. `log` is null when no vCPU runs: then nothing need be cleared.
  PreCopyRound(std::uint32_t number, vmm::GuestMemory& memory, vmm::DirtyLog* log,
               vmm::PageSet dirty);

  [[nodiscard]] std::optional<Chunk> next_chunk() override;
  [[nodiscard]] bool builds_on_earlier() const override { return true; }
  [[nodiscard]] bool takes_up(vmm::PageIndex page) const override {
    return pages_.discovers() || pages_.pages().test(page);
  }
  /// Hands out no more.
  void stop() { pages_.stop(); }

  /// Only a round that finds its pages itself, while the guest runs, can be watched.
  [[nodiscard]] bool can_be_watched() const { return pages_.discovers() && log_ != nullptr; }
  /// Looks at what the guest has written since the last call, and holds back the pages that it
  /// writes again and again: handed out now, they would be dirty again before the round ends. The
  /// hot pages of Johnson 2013, known by the samples of Zhong 2014: to be called at equal
  /// intervals, by one thread. A sample write-protects again what it finds written, but for what is
  /// handed out.
  void watch_writes();

  /// Pages of a round that was given them; of one that finds them itself nobody knows yet.
  [[nodiscard]] std::optional<std::uint64_t> all() const { return all_; }
  /// Pages taken up so far: handed out, held back or left out.
  [[nodiscard]] std::uint64_t count() const { return pages_.count() + left_out_count_; }
  [[nodiscard]] std::uint64_t held_back() const { return pages_.held_back(); }
  /// Pages below this one have been taken up.
  [[nodiscard]] vmm::PageIndex taken_up() const { return pages_.rest().first; }
  /// The pages that were handed out, when the round has ended.
  [[nodiscard]] vmm::PageSet handed_out() const { return pages_.handed_out(); }
  /// When the round has ended: what must still be sent though the log need not know it as dirty.
  [[nodiscard]] vmm::PageSet left() const;
  [[nodiscard]] std::uint64_t left_out_so_far() const { return left_out_count_; }
  /// When the round has ended: what need not be sent before the log knows it as dirty.
  [[nodiscard]] vmm::PageSet left_out() const;

 private:
  [[nodiscard]] std::optional<vmm::PageRange> claim();
  void leave_out_free(vmm::PageRange chunk);
  void forget_writes();

  vmm::GuestMemory& memory_;
  vmm::DirtyLog* log_;
  RoundPages pages_;
  std::optional<std::uint64_t> all_;
  FreePages* free_ = nullptr;
  vmm::PageSet left_out_;  ///< below what is claimed
  std::atomic<std::uint64_t> left_out_count_ = 0;
  vmm::Mutex claiming_;  ///< held while a chunk is claimed, and while the rest is looked at
};

}  // namespace migration
