#include "devices/acpi_pm.hpp"

#include <gtest/gtest.h>

#include <array>
#include <stdexcept>

#include "tests/devices/fake_host.hpp"

namespace devices {
namespace {

struct PmFixture {
  FakeHost host;
  AcpiPm device{host};

  void out16(std::uint64_t offset, unsigned value) {
    const std::array data = {static_cast<std::byte>(value), static_cast<std::byte>(value >> 8)};
    device.write(offset, data);
  }
  unsigned in16(std::uint64_t offset) {
    std::array<std::byte, 2> data{};
    device.read(offset, data);
    return std::to_integer<unsigned>(data[0]) | std::to_integer<unsigned>(data[1]) << 8;
  }
};

constexpr unsigned kSleepEnable = 1U << 13;
constexpr unsigned kSoftOff = 5U << 10;

TEST(AcpiPm, PowersOffWhenSleepIsEnabledInItsType) {
  PmFixture pm;
  pm.out16(4, kSoftOff);  // as ACPICA does, first without and then with SLP_EN
  pm.out16(4, 3U << 10 | kSleepEnable);
  EXPECT_TRUE(pm.host.ends.empty());
  pm.out16(4, kSoftOff | kSleepEnable);
  ASSERT_EQ(pm.host.ends.size(), 1U);
  EXPECT_EQ(pm.host.ends.front().kind, vmm::GuestEnd::Kind::power_off);
  EXPECT_EQ(pm.host.resets, 0);
}

TEST(AcpiPm, ResetsOnItsValueOnly) {
  PmFixture pm;
  for (const std::byte value : {std::byte{0}, std::byte{2}, std::byte{0xff}}) {
    pm.device.write(8, std::array{value});
  }
  EXPECT_EQ(pm.host.resets, 0);
  const std::array reset = {std::byte{AcpiPm::kReset}};
  pm.device.write(8, reset);
  EXPECT_EQ(pm.host.resets, 1);
  EXPECT_TRUE(pm.host.ends.empty());
}

// ACPICA reads back what it enabled, and calls hardware broken that forgot it.
TEST(AcpiPm, KeepsWhatIsEnabledAndHasNoEvents) {
  PmFixture pm;
  pm.out16(2, 0x0120);
  EXPECT_EQ(pm.in16(2), 0x0120U);
  pm.out16(0, 0xffff);
  EXPECT_EQ(pm.in16(0), 0U);
}

TEST(AcpiPm, IsAlwaysInAcpiModeAndNeverAsleep) {
  PmFixture pm;
  EXPECT_EQ(pm.in16(4), 1U);
  pm.out16(4, 0x1c00 | kSleepEnable);
  EXPECT_EQ(pm.in16(4), 0x1c01U);
}

TEST(AcpiPm, TakesBytesAndDoubleWordsToo) {
  PmFixture pm;
  const std::array both = {std::byte{0}, std::byte{0}, std::byte{0x34}, std::byte{0x12}};
  pm.device.write(0, both);
  EXPECT_EQ(pm.in16(2), 0x1234U);
  const std::array high = {std::byte{0x56}};
  pm.device.write(3, high);
  EXPECT_EQ(pm.in16(2), 0x5634U);
  std::array<std::byte, 4> all{};
  pm.device.read(5, all);  // beyond the control register: nothing
  EXPECT_EQ(all, (std::array<std::byte, 4>{}));
}

TEST(AcpiPm, LoadsWhatItSaved) {
  PmFixture from;
  from.out16(2, 0x0120);
  from.out16(4, kSoftOff | 2);
  const auto saved = from.device.save();
  PmFixture to;
  to.device.load(1, saved);
  EXPECT_EQ(to.in16(2), 0x0120U);
  EXPECT_EQ(to.in16(4), kSoftOff | 3);
  EXPECT_EQ(to.device.save(), saved);
}

TEST(AcpiPm, RefusesAnUnsoundState) {
  PmFixture pm;
  const auto saved = pm.device.save();
  EXPECT_THROW(pm.device.load(2, saved), std::invalid_argument);
  EXPECT_THROW(pm.device.load(1, std::span(saved).first(3)), std::invalid_argument);
  auto asleep = saved;
  asleep[3] = std::byte{0x20};
  EXPECT_THROW(pm.device.load(1, asleep), std::invalid_argument);
}

}  // namespace
}  // namespace devices
