#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <stdexcept>

#include "devices/exit_port.hpp"
#include "devices/i8042.hpp"

namespace devices {
namespace {

using vmm::GuestEnd;

template <typename Device>
struct Ending {
  std::optional<GuestEnd> end;
  Device device{[this](GuestEnd how) { end = std::move(how); }};

  void out(std::uint64_t offset, unsigned value) {
    const std::array data = {static_cast<std::byte>(value)};
    device.write(offset, data);
  }
  std::byte in(std::uint64_t offset) {
    std::array<std::byte, 1> data{};
    device.read(offset, data);
    return data.front();
  }
};

TEST(ExitPort, EndsTheMachineWithTheLowSixBits) {
  Ending<ExitPort> port;
  port.out(0, 0xc3);
  ASSERT_TRUE(port.end);
  EXPECT_EQ(port.end->kind, GuestEnd::Kind::exit_code);
  EXPECT_EQ(port.end->code, 3);
}

TEST(ExitPort, DoesNotEndTheMachineWhenRead) {
  Ending<ExitPort> port;
  EXPECT_EQ(port.in(0), std::byte{0xff});
  EXPECT_FALSE(port.end);
}

TEST(I8042, PowersOffOnItsResetCommandOnly) {
  Ending<I8042> controller;
  controller.out(4, 0xd1);
  controller.out(0, 0xfe);
  EXPECT_FALSE(controller.end);
  controller.out(4, 0xfe);
  ASSERT_TRUE(controller.end);
  EXPECT_EQ(controller.end->kind, GuestEnd::Kind::power_off);
}

// Linux's i8042_flush() reads until the output buffer is empty, and takes one that stays full for
// an absent controller; its kb_wait() waits for an empty input buffer before a reset.
TEST(I8042, LooksAbsentToADriverAndReadyToAReset) {
  Ending<I8042> controller;
  for (int i = 0; i < 17; ++i) {
    EXPECT_EQ(controller.in(4) & std::byte{0x01}, std::byte{0x01});
    controller.in(0);
  }
  EXPECT_EQ(controller.in(4) & std::byte{0x02}, std::byte{0});
}

TEST(Stateless, LoadsOnlyAnEmptyState) {
  Ending<ExitPort> port;
  EXPECT_TRUE(port.device.save().empty());
  EXPECT_NO_THROW(port.device.load(1, {}));
  EXPECT_THROW(port.device.load(2, {}), std::invalid_argument);
  const std::array stray = {std::byte{0}};
  EXPECT_THROW(port.device.load(1, stray), std::invalid_argument);
}

}  // namespace
}  // namespace devices
