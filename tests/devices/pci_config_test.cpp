#include "devices/pci_config.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "tests/devices/fake_host.hpp"

namespace devices {
namespace {

constexpr std::uint32_t kEnable = 1U << 31;

struct PciFixture {
  FakeHost host;
  PciConfig device{host, std::make_shared<PciBus>()};

  template <typename Number>
  void out(std::uint64_t offset, Number value) {
    device.write(offset, std::as_bytes(std::span(&value, 1)));
  }
  template <typename Number>
  Number in(std::uint64_t offset) {
    Number value{};
    device.read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
};

// How Linux finds out that the mechanism is there (pci_check_type1).
TEST(PciConfig, KeepsTheAddressThatItIsGiven) {
  PciFixture pci;
  pci.out<std::uint8_t>(3, 0x01);
  EXPECT_EQ(pci.in<std::uint32_t>(0), 0U);
  pci.out<std::uint32_t>(0, kEnable);
  EXPECT_EQ(pci.in<std::uint32_t>(0), kEnable);
}

TEST(PciConfig, HasAHostBridge) {
  PciFixture pci;
  pci.out<std::uint32_t>(0, kEnable);
  EXPECT_EQ(pci.in<std::uint32_t>(4), 0x00081b36U);
  EXPECT_EQ(pci.in<std::uint16_t>(6), 0x0008);
  pci.out<std::uint32_t>(0, kEnable | 0x08);
  EXPECT_EQ(pci.in<std::uint16_t>(6), 0x0600);  // class
  pci.out<std::uint32_t>(0, kEnable | 0xfc);
  EXPECT_EQ(pci.in<std::uint32_t>(4), 0U);
}

TEST(PciConfig, HasNothingElse) {
  PciFixture pci;
  EXPECT_EQ(pci.in<std::uint32_t>(4), UINT32_MAX);  // not enabled
  for (const std::uint32_t function : {0x100U, 0x800U, 0x10000U}) {
    pci.out<std::uint32_t>(0, kEnable | function);
    EXPECT_EQ(pci.in<std::uint32_t>(4), UINT32_MAX) << function;
  }
}

TEST(PciConfig, LoadsWhatItSavedAndNothingOfAnotherSize) {
  PciFixture from;
  from.out<std::uint32_t>(0, kEnable | 0x08);
  const auto saved = from.device.save();
  PciFixture to;
  to.device.load(1, saved);
  EXPECT_EQ(to.in<std::uint16_t>(6), 0x0600);
  EXPECT_THROW(to.device.load(2, saved), std::invalid_argument);
  EXPECT_THROW(to.device.load(1, std::span(saved).first(3)), std::invalid_argument);
}

// Linux with reboot=pci: what it read with bits 1 and then 2 set.
TEST(PciConfig, ResetsByTheResetControlRegister) {
  PciFixture pci;
  EXPECT_EQ(pci.in<std::uint8_t>(1), 0);
  pci.out<std::uint8_t>(1, 0x02);
  pci.out<std::uint32_t>(0, kEnable | 0x0400);  // of which byte 1 is 4
  pci.out<std::uint8_t>(2, 0x04);
  EXPECT_EQ(pci.host.resets, 0);
  pci.out<std::uint8_t>(1, 0x06);
  EXPECT_EQ(pci.host.resets, 1);
}

}  // namespace
}  // namespace devices
