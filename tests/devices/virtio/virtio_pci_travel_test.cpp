#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>

#include "tests/devices/virtio/virtio_pci_fixture.hpp"

namespace devices::virtio {
namespace {

TEST(VirtioPci, IsPausedWhenWhatIsUnderWayIsComplete) {
  FakeHost host;
  const auto device = std::make_shared<Slow>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0);
  device->wait_taken();
  guest.pci.request_pause();
  EXPECT_FALSE(guest.pci.wait_paused(std::chrono::steady_clock::now()));
  device->complete_one();
  EXPECT_TRUE(guest.pci.wait_paused(std::nullopt));
  EXPECT_EQ(guest.driver.used(), 1);
}

TEST(VirtioPci, TravelsAndServesThereWhatWasNotTaken) {
  FakeHost host;
  PciGuest from{host, std::make_shared<Slow>()};
  from.bring_up();
  from.ask(0, 32);
  const auto saved = from.pci.save();

  FakeHost there;
  std::ranges::copy(host.ram.pages({0, host.ram.page_count()}),
                    there.ram.pages({0, there.ram.page_count()}).begin());
  const auto device = std::make_shared<Slow>();
  PciGuest to{there, device};
  to.pci.load(1, saved);
  EXPECT_EQ(to.pci.save(), saved);
  EXPECT_EQ(to.config<std::uint32_t>(0x10), kBar);
  to.pci.resumed();
  EXPECT_EQ(device->complete_one(), 0U);
  EXPECT_EQ(there.messages(1), (Messages{{0xfee00000, 0x41}}));
  EXPECT_EQ(to.driver.used(), 1);
}

TEST(VirtioPci, RefusesAStateThatIsUnsound) {
  FakeHost host;
  PciGuest from{host, std::make_shared<Slow>()};
  from.bring_up();
  const auto saved = from.pci.save();
  PciGuest to{host, std::make_shared<Slow>()};
  EXPECT_THROW(to.pci.load(2, saved), std::invalid_argument);
  for (std::size_t size = 0; size < saved.size(); size += 7) {
    PciGuest other{host, std::make_shared<Slow>()};
    EXPECT_THROW(other.pci.load(1, std::span(saved).first(size)), std::invalid_argument) << size;
  }
  auto longer = saved;
  longer.push_back(std::byte{0});
  EXPECT_THROW(to.pci.load(1, longer), std::invalid_argument);
  // Each byte after the configuration space: it is loaded or refused, and never worse.
  for (std::size_t at = ConfigSpace::kBytes; at < saved.size(); ++at) {
    auto other = saved;
    other[at] = ~other[at];
    PciGuest guest{host, std::make_shared<Slow>()};
    try {
      guest.pci.load(1, other);
      guest.pci.resumed();
    } catch (const std::invalid_argument&) {
    }
  }
}

TEST(VirtioPci, ServesWhatIsLeftWhenTheSourceIsReadable) {
  FakeHost host;
  const auto device = std::make_shared<Fed>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  guest.ask(0, 1);
  guest.ask(1, 1);
  EXPECT_TRUE(host.messages().empty());
  device->feed(1);
  EXPECT_EQ(host.messages(1).size(), 1U);
  device->feed(2);
  EXPECT_EQ(host.messages(2).size(), 2U);
  guest.ask(2, 1);
  EXPECT_EQ(host.messages(3).size(), 3U);
  EXPECT_EQ(guest.driver.used(), 3);
}

TEST(VirtioPci, DoesNotLookAtTheSourceWithoutRequestsOrWhilePaused) {
  FakeHost host;
  const auto device = std::make_shared<Fed>();
  PciGuest guest{host, device};
  guest.pci.resumed();
  guest.bring_up();
  const unsigned begun = device->served(1);
  device->feed(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // nothing happens
  EXPECT_EQ(device->served(), begun);
  guest.ask(0, 1);
  EXPECT_EQ(host.messages(1).size(), 1U);
  guest.ask(1, 1);
  static_cast<void>(device->served(begun + 2));
  guest.pci.request_pause();
  EXPECT_TRUE(guest.pci.wait_paused(std::nullopt));
  device->feed(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LE(device->served(), begun + 2);
  EXPECT_EQ(guest.driver.used(), 1);
  guest.pci.resumed();
  EXPECT_EQ(host.messages(2).size(), 2U);
  EXPECT_LE(device->served(), begun + 4);
}

TEST(VirtioPci, LetsTheDeviceKnowOfAnArrivalOnce) {
  FakeHost host;
  const auto device = std::make_shared<Fed>();
  PciGuest from{host, std::make_shared<Fed>()};
  PciGuest to{host, device};
  to.pci.load(1, from.pci.save());
  EXPECT_EQ(device->told, "");
  to.pci.resumed();
  to.pci.request_pause();
  to.pci.resumed();
  EXPECT_EQ(device->told, "arrived resumed paused resumed ");
}

TEST(VirtioPci, HandsTheDeviceWhatItsDriverConfigures) {
  FakeHost host;
  const auto device = std::make_shared<Changing>();
  PciGuest guest{host, device};
  guest.out<std::uint8_t>(0x2000, 7);
  EXPECT_EQ(guest.in<std::uint16_t>(0x2000), 0x0907);
  guest.out<std::uint32_t>(0x2ffc, 1);
  EXPECT_EQ(device->written, 5U);
}

TEST(VirtioPci, TellsItsDriverThatTheConfigurationHasChanged) {
  FakeHost host;
  const auto device = std::make_shared<Changing>();
  {
    PciGuest guest{host, device};
    const auto generation = guest.in<std::uint8_t>(21);
    device->changed();  // there is no driver
    EXPECT_EQ(guest.in<std::uint8_t>(21), generation + 1);
    EXPECT_TRUE(host.messages().empty());
    guest.bring_up();
    device->changed();
    EXPECT_EQ(guest.in<std::uint8_t>(21), generation + 2);
    EXPECT_EQ(host.messages(), (Messages{{0xfee00000, 0x40}}));
  }
  device->changed();  // there is no machine any more
}

TEST(VirtioPci, TakesTheDevicesOwnStateAlong) {
  FakeHost host;
  const auto device = std::make_shared<Changing>();
  PciGuest from{host, device};
  device->value = std::byte{42};
  device->changed();
  const auto there = std::make_shared<Changing>();
  PciGuest to{host, there};
  to.pci.load(1, from.pci.save());
  EXPECT_EQ(there->value, std::byte{42});
  EXPECT_EQ(to.in<std::uint8_t>(21), 1);
}

TEST(VirtioPci, HasAWindowInItsConfigurationSpace) {
  FakeHost host;
  PciGuest guest{host, std::make_shared<Entropy>()};
  const std::uint64_t window = guest.capability(0x09, 5);
  const auto choose = [&](std::uint32_t offset, std::uint32_t length) {
    guest.set_config<std::uint32_t>(window + 8, offset);
    guest.set_config<std::uint32_t>(window + 12, length);
  };
  choose(18, 2);
  EXPECT_EQ(guest.config<std::uint16_t>(window + 16), 1);  // one queue
  choose(20, 1);
  guest.set_config<std::uint8_t>(window + 16, 1);
  EXPECT_EQ(guest.status(), 1);
  choose(UINT32_MAX, 4);
  EXPECT_EQ(guest.config<std::uint32_t>(window + 16), 0U);
  choose(0, 8);
  EXPECT_EQ(guest.config<std::uint32_t>(window + 16), UINT32_MAX);
}

}  // namespace
}  // namespace devices::virtio
