#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/machine/machine.hpp"

namespace vmm {

/// For everything that a guest is waited for: far more than it ever needs. 20 s, and as many times
/// more as $FERRY_TEST_SLOWDOWN says.
extern const std::chrono::seconds kDeadline;

/// What one guest prints, put together over all the machines that it runs in. The vCPU that prints
/// a byte delivers it here itself: once a machine is paused or has ended, its output is complete.
class GuestOutput {
 public:
  /// Gives a machine that has not run its devices. This object outlives the machine.
  void attach(Machine& machine);

  // All wait for kDeadline at most, and then fail with what the guest printed.
  [[nodiscard]] ::testing::AssertionResult wait_for(std::string_view text);
  /// Until the guest has printed so many ticks more than when this is called.
  [[nodiscard]] ::testing::AssertionResult wait_for_ticks(std::size_t more);
  /// Until so many of the lines "# tick N ..." more than when this is called.
  [[nodiscard]] ::testing::AssertionResult wait_for_tick_lines(std::size_t more);

  [[nodiscard]] std::string text() const;
  /// The letters only.
  [[nodiscard]] std::string ticks() const;
  /// Whether the ticks are a..z again and again, none lost and none twice, and there is at least
  /// one.
  [[nodiscard]] ::testing::AssertionResult ticks_in_order() const;
  /// `name=VALUE` in each of the lines "# tick N ...", in their order.
  [[nodiscard]] std::vector<std::uint64_t> values(std::string_view name) const;

 private:
  [[nodiscard]] ::testing::AssertionResult wait(const std::function<bool()>& arrived,
                                                std::string_view what);

  mutable std::mutex mutex_;
  std::condition_variable grown_;
  std::string text_;
};

/// Tests that run the tiny guest. Skipped, with the reason, where there is no KVM.
class GuestTest : public ::testing::Test {
 protected:
  void SetUp() override;

  /// A paused machine with the standard devices and the tiny guest, which prints to output_.
  [[nodiscard]] std::unique_ptr<Machine> make_guest(const std::string& cmdline,
                                                    std::uint32_t cpus = 1,
                                                    std::uint64_t memory_bytes = 32_MiB);
  /// A fresh machine for a guest of that config to move into.
  [[nodiscard]] std::unique_ptr<Machine> make_empty(const MachineConfig& config);

  GuestOutput output_;
};

/// How the guest ended, or nullopt when it does not within kDeadline. Takes over on_end().
[[nodiscard]] std::optional<GuestEnd> wait_end(Machine& machine);

/// Copies every page that the source's guest ever touched.
void copy_memory(Machine& from, Machine& to);

}  // namespace vmm
