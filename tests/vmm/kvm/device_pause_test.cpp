#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/vmm/kvm/guest_fixture.hpp"
#include "vmm/machine/device.hpp"

namespace vmm {
namespace {

// In a page that the guest never touches.
constexpr GuestAddress kBuffer{30 << 20};

/// A device that writes into the guest's memory, in a thread of its own, while it is not paused.
class BusyDevice final : public Device {
 public:
  explicit BusyDevice(Machine& machine)
      : machine_(machine), buffer_(machine.memory().at(kBuffer, sizeof(std::uint64_t))) {}

  [[nodiscard]] std::string_view id() const override { return "busy"; }
  [[nodiscard]] std::uint32_t version() const override { return 7; }
  void read(std::uint64_t /*offset*/, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0});
  }
  void write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
  void resumed() override {
    events_ += "resumed ";
    io_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        ++written_;
        std::memcpy(buffer_.data(), &written_, sizeof(written_));
        working_ = true;
      }
    });
  }
  void request_pause() override {
    events_ += machine_.vcpu(0).stopped() ? "pause " : "pause-too-early ";
    io_.request_stop();
  }
  bool wait_paused(std::optional<std::chrono::steady_clock::time_point> /*deadline*/) override {
    io_ = {};  // joins it
    return true;
  }
  [[nodiscard]] std::vector<std::byte> save() override {
    events_ += "save ";
    return {};
  }
  void load(std::uint32_t /*version*/, std::span<const std::byte> /*bytes*/) override {}

  /// Since it was made; while it is paused.
  [[nodiscard]] const std::string& events() const { return events_; }
  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::uint64_t in_memory() const {
    std::uint64_t value = 0;
    std::memcpy(&value, buffer_.data(), sizeof(value));
    return value;
  }
  [[nodiscard]] bool wait_working() {
    working_ = false;
    const auto end = std::chrono::steady_clock::now() + kDeadline;
    while (!working_ && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return working_;
  }

 private:
  Machine& machine_;
  const std::span<std::byte> buffer_;
  std::string events_;
  std::atomic<bool> working_ = false;
  std::uint64_t written_ = 0;
  std::jthread io_;
};

class DevicePause : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    machine_ = make_guest("tick=1");
    device_ = std::make_shared<BusyDevice>(*machine_);
    machine_->attach_ports(device_, 0x700, 1);
  }

  std::unique_ptr<Machine> machine_;
  std::shared_ptr<BusyDevice> device_;
};

TEST_F(DevicePause, ComesAfterTheVcpusAndBeforeTheStateIsSaved) {
  machine_->resume();
  ASSERT_TRUE(device_->wait_working());
  machine_->pause();
  static_cast<void>(machine_->save());
  EXPECT_EQ(device_->events(), "resumed pause save ");
}

TEST_F(DevicePause, LeavesNobodyWhoWritesIntoTheGuestsMemory) {
  machine_->resume();
  ASSERT_TRUE(device_->wait_working());
  machine_->pause();
  const std::uint64_t written = device_->in_memory();
  EXPECT_GT(written, 0U);
  static_cast<void>(machine_->save());
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(device_->in_memory(), written);
  EXPECT_EQ(device_->written(), written);
  machine_->resume();
  ASSERT_TRUE(device_->wait_working());
  machine_->pause();
  EXPECT_GT(device_->in_memory(), written);
}

TEST_F(DevicePause, ComesOnceForEachResume) {
  machine_->pause();
  EXPECT_EQ(device_->events(), "");
  machine_->resume();
  machine_->resume();
  machine_->pause();
  machine_->pause();
  EXPECT_EQ(device_->events(), "resumed pause ");
}

TEST_F(DevicePause, AndTheDeviceAreInTheConfiguration) {
  const auto& devices = machine_->config().devices;
  EXPECT_EQ(devices.size(), 8U);
  EXPECT_EQ(devices.back(), (DeviceVersion{"busy", 7}));
  EXPECT_TRUE(std::ranges::count(devices, DeviceVersion{"serial0", 1}) == 1);
  // What another machine had does not count.
  EXPECT_EQ(make_empty(machine_->config())->config().devices.size(), 7U);
}

TEST_F(DevicePause, OfAMachineThatIsPausedIsNotUnderWay) {
  const auto machine = make_guest("tick=1");
  machine->resume();
  machine->begin_drain();
  EXPECT_TRUE(machine->draining());
  machine->pause();
  machine->begin_drain();  // a migration of a paused one, which then fails
  EXPECT_FALSE(machine->draining());
}

}  // namespace
}  // namespace vmm
