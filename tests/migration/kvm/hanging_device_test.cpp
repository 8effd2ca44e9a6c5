#include "tests/migration/hanging_device.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "tests/migration/kvm/handover_fixture.hpp"

namespace migration {
namespace {

using namespace std::chrono_literals;

/// A guest with a device whose host hangs.
class AHangingDevice : public HandoverTest {
 protected:
  static constexpr std::uint16_t kPort = 0x700;

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
      machine->attach_ports(there_, kPort, 1);
      return machine;
    });
  }

  std::shared_ptr<HangingDevice> device_ = std::make_shared<HangingDevice>("disk0");
  std::shared_ptr<HangingDevice> there_ = std::make_shared<HangingDevice>("disk0");
};

TEST_F(AHangingDevice, AtTheOfferFailsTheMigrationAndTheGuestGoesOn) {
  auto machine = run();
  device_->hang_at("host_part");
  migrate(std::move(machine), {.to = receive_with_device(), .timeout = 1s});
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  EXPECT_EQ(result.report.error.value_or(""),
            "the host has not said within 1.0 s what it has of disk0, and the VM cannot be offered "
            "without that: see what keeps the host's end of it");
  EXPECT_EQ(result.report.downtime_ms, 0);
  expect_runs_here(result);
  device_->let_go();
}

// The guest stands, and nothing else does.
TEST_F(AHangingDevice, ThatIsTakenBackIsWaitedForOutsideTheLoop) {
  auto machine = run();
  there_->refuse("acquire");
  device_->hang_at("acquire");
  migrate(std::move(machine), {.to = receive_with_device(), .timeout = 1s});
  EXPECT_EQ(wait_failed(), "the machine cannot be loaded: disk0 is in use");
  EXPECT_EQ(wait_said(),
            "the VM is here, paused until it can be resumed: the host does not answer for disk0: "
            "see what keeps it there");
  device_->let_go();
  const auto result = wait_ended();
  EXPECT_EQ(result.report.outcome, Outcome::failed);
  expect_runs_here(result);
}

}  // namespace
}  // namespace migration
