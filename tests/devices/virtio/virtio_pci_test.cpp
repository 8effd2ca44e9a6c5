#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "tests/devices/virtio/virtio_pci_fixture.hpp"

namespace devices::virtio {
namespace {

TEST(VirtioPci, IsAModernFunctionWithAllItsCapabilities) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Entropy>()};
  EXPECT_EQ(guest.config<std::uint32_t>(0), 0x10441af4U);
  EXPECT_EQ(guest.config<std::uint8_t>(8), 1);
  EXPECT_EQ(guest.config<std::uint8_t>(0x3d), 0);  // no pin
  EXPECT_EQ(guest.config<std::uint32_t>(0x10), kBar);
  for (std::uint8_t type = 1; type <= 5; ++type) EXPECT_NE(guest.capability(0x09, type), 0U);
  const auto notify = guest.capability(0x09, 2);
  EXPECT_EQ(guest.config<std::uint32_t>(notify + 8), kNotify);
  EXPECT_EQ(guest.config<std::uint32_t>(notify + 16), 4U);
  ASSERT_EQ(host.noted.size(), 1U);
  EXPECT_EQ(host.noted.front().first, kBar + kNotify);
}

TEST(VirtioPci, FillsARequestAndInterrupts) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Entropy>()};
  guest.pci.resumed();
  guest.bring_up();
  EXPECT_EQ(guest.status(), kDriverBits | VirtioCore::kFeaturesOk | VirtioCore::kDriverOk);
  guest.ask(0, 64);
  EXPECT_EQ(host.messages(1), (Messages{{0xfee00000, 0x41}}));
  EXPECT_EQ(guest.driver.used(), 1);
  EXPECT_EQ(guest.driver.used_element(0).length, 64U);
  const auto bytes = host.ram.at({Driver::kData}, 64);
  EXPECT_NE(std::ranges::count(bytes, std::byte{0}), 64);
}

TEST(VirtioPci, OffersItsFeaturesAndItsConfiguration) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Slow>()};
  std::uint64_t offered = 0;
  for (const std::uint32_t select : {1U, 0U, 2U}) {
    guest.out<std::uint32_t>(0, select);
    const auto word = guest.in<std::uint32_t>(4);
    if (select < 2) {
      offered |= std::uint64_t{word} << 32 * select;
    } else {
      EXPECT_EQ(word, 0U);
    }
  }
  EXPECT_EQ(offered,
            1U << 9 | VirtioCore::kIndirect | VirtioCore::kEventIndex | VirtioCore::kVersion1);
  EXPECT_EQ(guest.in<std::uint16_t>(18), 2);
  EXPECT_EQ(guest.in<std::uint32_t>(0x2000), 0x00030201U);
  EXPECT_EQ(guest.in<std::uint32_t>(0x2002), 3U);
  EXPECT_EQ(guest.in<std::uint32_t>(0x2ffc), 0U);
}

TEST(VirtioPci, AgreesOnFeaturesThatItHasAndOnNoOthers) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  for (const std::uint64_t features :
       {std::uint64_t{0}, std::uint64_t{1} << 9, VirtioCore::kVersion1 | 1U << 3,
        VirtioCore::kVersion1 | std::uint64_t{1} << 34}) {
    guest.set_features(features);
    EXPECT_EQ(guest.status(), kDriverBits) << features;
    guest.out<std::uint8_t>(20, 0);
  }
  guest.set_features(VirtioCore::kVersion1 | 1U << 9);
  EXPECT_EQ(guest.status(), kDriverBits | VirtioCore::kFeaturesOk);
  guest.out<std::uint32_t>(8, 0);
  guest.out<std::uint32_t>(12, 0);  // too late
  guest.out<std::uint8_t>(20, VirtioCore::kDriverOk);
  EXPECT_EQ(device->agreed, VirtioCore::kVersion1 | 1U << 9);
}

TEST(VirtioPci, NeedsAResetWhenItIsToBeServedOutOfRules) {
  FakeHost host;
  for (const QueueState& state :
       {QueueState{.size = 3, .descriptors = 0x1000, .driver_area = 0x2000, .device_area = 0x3000},
        QueueState{
            .size = 8, .descriptors = 0xd0000000, .driver_area = 0x2000, .device_area = 0x3000},
        QueueState{
            .size = 8, .descriptors = UINT64_MAX - 15, .driver_area = 0, .device_area = 0}}) {
    PciGuest guest{host, std::make_shared<Slow>()};
    guest.pci.resumed();
    guest.bring_up(state);
    EXPECT_NE(guest.status() & VirtioCore::kNeedsReset, 0) << state.size;
    guest.out<std::uint8_t>(20, 0);
    EXPECT_EQ(guest.status(), 0);
    guest.bring_up();
    EXPECT_EQ(guest.status() & VirtioCore::kNeedsReset, 0);
  }
  PciGuest guest{host, std::make_shared<Slow>()};
  guest.out<std::uint8_t>(20, kDriverBits | VirtioCore::kDriverOk);
  EXPECT_NE(guest.status() & VirtioCore::kNeedsReset, 0);
}

TEST(VirtioPci, SaysThatItNeedsAResetWhenARequestIsUnsound) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Slow>()};
  guest.pci.resumed();
  guest.bring_up();
  guest.driver.offer(99);
  guest.out<std::uint16_t>(kNotify, 0);
  EXPECT_EQ(host.messages(1), (Messages{{0xfee00000, 0x40}}));
  EXPECT_NE(guest.status() & VirtioCore::kNeedsReset, 0);
  guest.out<std::uint8_t>(20, 0);
  EXPECT_EQ(guest.status(), 0);
}

TEST(VirtioPci, IsResetOnlyOnceNothingIsUnderWay) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0);
  device->wait_taken();
  guest.out<std::uint8_t>(20, 0);  // does not wait
  EXPECT_NE(guest.status(), 0);
  EXPECT_EQ(guest.in<std::uint16_t>(16), kNoVector);
  guest.out<std::uint8_t>(20, kDriverBits);  // too early
  guest.pci.resumed();
  EXPECT_FALSE(guest.pci.wait_paused(std::chrono::steady_clock::now()));
  device->complete_one();
  EXPECT_EQ(guest.status(), 0);
  EXPECT_EQ(guest.driver.used(), 1);
  EXPECT_TRUE(host.messages().empty());
  guest.driver.set_index(0);
  guest.bring_up();
  guest.ask(0);
  EXPECT_EQ(device->complete_one(), 0U);
  EXPECT_EQ(host.messages(1).size(), 1U);
}

// Who waits for a queue to be idle has it, too.
TEST(VirtioPci, IsResetWhileSomebodyWaitsForItToPause) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0);
  device->wait_taken();
  guest.pci.request_pause();
  std::thread waits([&] { EXPECT_TRUE(guest.pci.wait_paused(std::nullopt)); });
  guest.out<std::uint8_t>(20, 0);
  EXPECT_NE(guest.status(), 0);
  device->complete_one();
  EXPECT_EQ(guest.status(), 0);
  waits.join();
}

TEST(VirtioPci, EndsWithWhatIsUnderWay) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  std::thread later;
  {
    PciGuest guest{host, device};
    guest.pci.resumed();
    guest.bring_up();
    guest.ask(0);
    device->wait_taken();
    later = std::thread([&] { device->complete_one(); });
  }
  later.join();
  EXPECT_EQ(host.messages(1).size(), 1U);
}

TEST(VirtioPci, BeginsNothingWhilePaused) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.pci.request_pause();
  guest.bring_up();  // a vCPU's last access
  guest.ask(0);
  EXPECT_TRUE(guest.pci.wait_paused(std::nullopt));
  guest.pci.resumed();
  EXPECT_EQ(device->complete_one(), 0U);
}

}  // namespace
}  // namespace devices::virtio
