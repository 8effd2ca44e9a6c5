#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/migration/kvm/handover_fixture.hpp"
#include "vmm/machine/device.hpp"
#include "vmm/os/mutex.hpp"

namespace migration {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// A device whose I/O takes until it is told otherwise, or what the host writes back for it.
class Busy final : public vmm::Device {
 public:
  explicit Busy(bool busy, bool cached = false) : busy_(busy), cached_(cached) {}

  [[nodiscard]] std::string_view id() const override { return "busy0"; }
  [[nodiscard]] std::uint32_t version() const override { return 1; }
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0});
  }
  void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  void resumed() override { set_paused(false); }
  void request_pause() override { set_paused(true); }
  bool wait_paused(std::optional<Clock::time_point> deadline) override {
    vmm::Lock lock(mutex_);
    ++asked_;
    changed_.notify_all();
    return changed_.wait_until(lock, deadline.value_or(Clock::now() + vmm::kDeadline),
                               [this]() FERRY_REQUIRES(mutex_) { return !busy_; });
  }
  [[nodiscard]] std::string host_part() const override { return "something"; }
  void prepare_release() override {
    vmm::Lock lock(mutex_);
    changed_.wait_for(lock, vmm::kDeadline, [this]() FERRY_REQUIRES(mutex_) { return !cached_; });
  }
  [[nodiscard]] std::vector<std::byte> save() override { return {}; }
  void load(std::uint32_t /*version*/, std::span<const std::byte> /*bytes*/) override {}

  void finish() {
    const vmm::Lock lock(mutex_);
    busy_ = cached_ = false;
    changed_.notify_all();
  }
  [[nodiscard]] bool paused() {
    const vmm::Lock lock(mutex_);
    return paused_;
  }
  /// Until somebody has waited so often.
  [[nodiscard]] bool wait_asked(int times) {
    vmm::Lock lock(mutex_);
    return changed_.wait_for(lock, vmm::kDeadline,
                             [&]() FERRY_REQUIRES(mutex_) { return asked_ >= times; });
  }

 private:
  void set_paused(bool paused) {
    const vmm::Lock lock(mutex_);
    paused_ = paused;
  }

  vmm::Mutex mutex_;
  vmm::Condition changed_;
  bool busy_ FERRY_GUARDED_BY(mutex_);
  bool cached_ FERRY_GUARDED_BY(mutex_);
  bool paused_ FERRY_GUARDED_BY(mutex_) = true;
  int asked_ FERRY_GUARDED_BY(mutex_) = 0;
};

class Drain : public HandoverTest {
 protected:
  static constexpr std::uint16_t kPort = 0x700;

  /// A guest with the device.
  std::unique_ptr<vmm::Machine> run() {
    auto machine = make_guest("tick=2 fill=4 dirty=500 check");
    machine->attach_ports(device_, kPort, 1);
    machine->resume();
    EXPECT_TRUE(output_.wait_for_tick_lines(1));
    return machine;
  }
  Address receive_with_device() {
    return receive(tcp(), [this](const vmm::MachineConfig& config, std::uint64_t, const MakeRam&) {
      auto machine = make_empty(config);
      machine->attach_ports(std::make_shared<Busy>(false), kPort, 1);
      return machine;
    });
  }

  std::shared_ptr<Busy> device_ = std::make_shared<Busy>(true);
};

class DrainInEachMode : public Drain, public ::testing::WithParamInterface<Mode> {};

TEST_P(DrainInEachMode, ThatDoesNotEndFailsTheMigrationAndTheGuestGoesOn) {
  auto machine = run();
  migrate(std::move(machine), {.to = receive_with_device(), .mode = GetParam(), .timeout = 1s});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_EQ(result.report.error.value_or(""),
            "busy0 has had I/O under way for 1.0 s, and the guest cannot be stopped with it: see "
            "what keeps the host's end of it");
  EXPECT_GE(result.report.phases_ms.drain, 1000);
  EXPECT_EQ(result.report.downtime_ms, 0);
  EXPECT_FALSE(device_->paused());
  expect_runs_here(result);
  device_->finish();
}

TEST_P(DrainInEachMode, IsWaitedForBeforeTheGuestIsStopped) {
  auto machine = run();
  vmm::Machine& there = *machine;
  migrate(std::move(machine), {.to = receive_with_device(), .mode = GetParam(), .verify = true});
  ASSERT_TRUE(device_->wait_asked(1));
  EXPECT_FALSE(there.vcpu(0).stopped());
  device_->finish();
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  const auto arrived = wait_arrived();
  ASSERT_TRUE(arrived);
  if (GetParam() == Mode::post_copy) {
    EXPECT_TRUE(wait_complete());
  }
  arrived->pause();
}

std::string name_of(const ::testing::TestParamInfo<Mode>& mode) {
  std::string name(to_string(mode.param));
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Modes, DrainInEachMode,
                         ::testing::Values(Mode::pre_copy, Mode::post_copy, Mode::stop_and_copy),
                         name_of);

TEST_F(Drain, ThatTheHostDoesNotWriteBackFailsTheMigrationByName) {
  device_ = std::make_shared<Busy>(false, true);
  auto machine = run();
  migrate(std::move(machine), {.to = receive_with_device(), .mode = Mode::pre_copy, .timeout = 1s});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_EQ(
      result.report.error.value_or(""),
      "the host has been writing back what it has cached of busy0 for 12.0 s, and is not done: "
      "see what keeps the host's end of it");
  EXPECT_EQ(result.report.downtime_ms, 0);
  expect_runs_here(result);
  device_->finish();
}

// In pre-copy: what is written meanwhile would otherwise be sent while the guest stands.
TEST_F(Drain, ThatTakesLongerThanTheGuestMayStandAddsRounds) {
  auto machine = run();
  migrate(
      std::move(machine),
      {.to = receive_with_device(), .mode = Mode::pre_copy, .max_downtime = 5ms, .timeout = 20s});
  ASSERT_TRUE(device_->wait_asked(20));
  device_->finish();
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::completed) << result.report.error.value_or("");
  EXPECT_GT(result.report.phases_ms.drain, 0);
  EXPECT_GT(result.report.rounds.size(), 2U);
  ASSERT_TRUE(wait_arrived());
}

// Whoever pauses the VM does not wait for a disk that hangs; and its state is not saved by halves.
TEST_F(Drain, DoesNotHoldUpWhoPausesTheMachine) {
  auto machine = run();
  machine->pause();
  EXPECT_FALSE(machine->running());
  EXPECT_TRUE(device_->paused());
  EXPECT_THROW(static_cast<void>(machine->save()), std::runtime_error);
  device_->finish();
  EXPECT_NO_THROW(static_cast<void>(machine->save()));
}

}  // namespace
}  // namespace migration
