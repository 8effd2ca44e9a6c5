#pragma once

#include <chrono>
#include <cstddef>
#include <functional>

#include "migration/forecast/guest_sample.hpp"
#include "vmm/kvm/dirty_log.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration::forecast {

/// Looks at a guest for a second, while it runs: which of a sample of its pages it writes, and what
/// they are. By the thread that has the machine, in steps, each of which takes a few milliseconds at
/// most. No page of the guest is missing meanwhile.
class GuestSampler {
 public:
  using Clock = std::chrono::steady_clock;
  /// From one step to the next.
  static constexpr std::chrono::milliseconds kStep{25};
  /// Called with pages before they are taken out of a log that somebody else reads, too.
  using Taken = std::function<void(const vmm::PageSet&)>;

  /// A log that runs goes on, and `taken` is told what it would miss; else it runs until the end.
  GuestSampler(vmm::DirtyLog& log, const vmm::GuestMemory& memory, Taken taken);
  ~GuestSampler();
  GuestSampler(const GuestSampler&) = delete;
  GuestSampler& operator=(const GuestSampler&) = delete;

  /// False after the last one.
  [[nodiscard]] bool step();
  /// After that.
  [[nodiscard]] GuestSample take();

 private:
  void take_out(const vmm::PageSet& pages);
  void look_for_touched();
  void look_at_content();

  vmm::DirtyLog& log_;
  const vmm::GuestMemory& memory_;
  Taken taken_;
  const bool log_was_on_;
  GuestSample sample_;
  WriteSample writes_;
  ContentSample content_;
  vmm::PageIndex looked_ = 0;  ///< pages below this one: whether they were touched
  std::size_t content_seen_ = 0;
  unsigned steps_ = 0;
  Clock::time_point start_;
  Clock::time_point last_;
};

}  // namespace migration::forecast
