#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "migration/forecast/delta_sample.hpp"
#include "migration/forecast/guest_sample.hpp"
#include "vmm/memory/guest_memory.hpp"

namespace migration::forecast {

/// Looks at a guest for a second, while it runs: which of a sample of its pages change, and what
/// they are. It only reads, and no page that nobody touched. In steps, each of which takes a few
/// milliseconds; no page of the guest is missing meanwhile.
class GuestSampler {
 public:
  using Clock = std::chrono::steady_clock;

  /// `memory` outlives it.
  explicit GuestSampler(const vmm::GuestMemory& memory);

  /// How long it is until the next one is due; nothing after the last.
  [[nodiscard]] std::optional<Clock::duration> step();
  /// After that.
  [[nodiscard]] GuestSample take();

 private:
  void look_for_touched();
  void look_for_writes();
  void look_at_content();
  void keep_bases();
  void look_at_deltas();

  const vmm::GuestMemory& memory_;
  GuestSample sample_;
  WriteSample writes_;
  ContentSample content_;
  DeltaSample deltas_;
  std::vector<vmm::PageIndex> bases_;  ///< the pages of that
  vmm::PageIndex looked_ = 0;          ///< pages below this one: whether they were touched
  std::vector<std::uint64_t> digests_;
  unsigned looks_ = 0;  ///< for writes
  Clock::time_point last_;
};

}  // namespace migration::forecast
