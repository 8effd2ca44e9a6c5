#include "devices/pci/config_space.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>

namespace devices {
namespace {

constexpr std::uint64_t kBar = 0x10;

template <typename Number>
void write(ConfigSpace& space, std::uint64_t offset, Number value) {
  space.write(offset, std::as_bytes(std::span(&value, 1)));
}

ConfigSpace made() {
  return ConfigSpace({.vendor = 0x1af4,
                      .device = 0x1044,
                      .class_code = 0x00ff00,
                      .revision = 1,
                      .subsystem_vendor = 0x1af4,
                      .subsystem = 0x1044});
}

TEST(ConfigSpace, TellsWhoTheFunctionIs) {
  const ConfigSpace space = made();
  EXPECT_EQ(space.u32(0), 0x10441af4U);
  EXPECT_EQ(space.u32(8), 0x00ff0001U);
  EXPECT_EQ(space.u32(0x2c), 0x10441af4U);
  EXPECT_EQ(space.u16(6), 0);  // no capabilities
}

TEST(ConfigSpace, LetsAGuestChangeNothingElseThanWhatItMay) {
  ConfigSpace space = made();
  for (std::uint64_t at = 0; at < ConfigSpace::kBytes; at += 4) write(space, at, UINT32_MAX);
  EXPECT_EQ(space.u32(0), 0x10441af4U);
  EXPECT_EQ(space.u16(4), 0x0406);
  EXPECT_EQ(space.u32(kBar), 0U);
  EXPECT_EQ(space.u32(0x3c), 0xffU);
  EXPECT_EQ(space.u32(0x40), 0U);
}

TEST(ConfigSpace, TellsTheSizeOfItsBarAndStaysWhereItIs) {
  ConfigSpace space = made();
  space.set_bar(0xd0008000, 0x8000);
  EXPECT_EQ(space.u32(kBar), 0xd0008000U);
  write(space, kBar, UINT32_MAX);
  EXPECT_EQ(space.u32(kBar), 0xffff8000U);
  write(space, kBar, std::uint32_t{0xe0000000});
  EXPECT_EQ(space.u32(kBar), 0xd0008000U);
  write(space, kBar, UINT32_MAX);
  write(space, kBar, std::uint32_t{0xd0008000});
  EXPECT_EQ(space.u32(kBar), 0xd0008000U);
}

TEST(ConfigSpace, ChainsCapabilitiesOfWhichSomeBitsCanBeWritten) {
  ConfigSpace space = made();
  const std::array body = {std::byte{0x12}, std::byte{0x34}, std::byte{0x56}};
  const std::array writable = {std::byte{0}, std::byte{0xf0}};
  const std::uint64_t first = space.add_capability(0x09, body, writable);
  const std::uint64_t second = space.add_capability(0x11, body);
  EXPECT_EQ(space.u16(6), 0x10);
  EXPECT_EQ(space.u16(0x34), first);
  EXPECT_EQ(space.u16(first), 0x09 | second << 8);
  EXPECT_EQ(space.u16(second), 0x11);
  EXPECT_EQ(second % 4, 0U);
  write(space, first, UINT32_MAX);
  EXPECT_EQ(space.u32(first), 0xf4120009U | second << 8);
  std::array<std::byte, 200> much{};
  EXPECT_THROW(space.add_capability(0x09, much), std::logic_error);
}

TEST(ConfigSpace, TakesOfASavedOneWhatAGuestCanHaveWritten) {
  ConfigSpace from = made();
  from.set_bar(0xd0008000, 0x8000);
  write(from, 4, std::uint16_t{6});
  write(from, kBar, UINT32_MAX);
  ConfigSpace to = made();
  to.set_bar(0xd0010000, 0x8000);
  to.load(from.bytes());
  EXPECT_EQ(to.u16(4), 6);
  EXPECT_EQ(to.u32(kBar), 0xffff8000U);
  std::array<std::byte, ConfigSpace::kBytes> any{};
  any.fill(std::byte{0x5a});
  to.load(any);
  EXPECT_EQ(to.u32(0), 0x10441af4U);
  EXPECT_EQ(to.u32(kBar), 0xd0010000U);
}

}  // namespace
}  // namespace devices
