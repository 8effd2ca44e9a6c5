#include "migration/forecast/delta_sample.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "migration/base/elapsed.hpp"
#include "migration/policy/delta_policy.hpp"
#include "vmm/bytes/copy_bytes.hpp"

namespace migration::forecast {

void DeltaSample::keep(std::span<const std::byte> page) {
  kept_.insert(kept_.end(), page.begin(), page.end());
}

void DeltaSample::look(std::size_t n, std::span<const std::byte> page) {
  const auto base = std::span(kept_).subspan(n * vmm::kPageSize, vmm::kPageSize);
  // The guest may be writing it, and LZ4 reads more than once.
  std::array<std::byte, vmm::kPageSize> copy{};
  vmm::copy_bytes(page, copy);
  if (std::ranges::equal(copy, base)) return;
  std::array<std::byte, kWorthDelta> block{};
  const auto start = std::chrono::steady_clock::now();
  const std::size_t size = codec_.pack_delta(copy, base, block);
  seconds_ += std::min(seconds_since(start), kInterrupted);
  bytes_ += static_cast<double>(size == 0 ? vmm::kPageSize : size);
  ++written_;
}

}  // namespace migration::forecast
