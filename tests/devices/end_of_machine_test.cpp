#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "devices/exit_port.hpp"
#include "devices/i8042.hpp"
#include "devices/panic_port.hpp"
#include "tests/devices/fake_host.hpp"

namespace devices {
namespace {

using vmm::GuestEnd;

template <typename Device>
struct Ending {
  FakeHost host;
  Device device{host};

  [[nodiscard]] bool ended() const { return !host.ends.empty(); }

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
  ASSERT_TRUE(port.ended());
  EXPECT_EQ(port.host.ends.front().kind, GuestEnd::Kind::exit_code);
  EXPECT_EQ(port.host.ends.front().code, 3);
}

TEST(ExitPort, DoesNotEndTheMachineWhenRead) {
  Ending<ExitPort> port;
  EXPECT_EQ(port.in(0), std::byte{0xff});
  EXPECT_FALSE(port.ended());
}

TEST(PanicPort, EndsTheMachineOnTheOneEventThatItKnows) {
  Ending<PanicPort> port;
  EXPECT_EQ(port.in(0), std::byte{0x01});
  port.out(0, 0x02);  // the guest will write a crash dump
  EXPECT_FALSE(port.ended());
  port.out(0, 0x01);
  ASSERT_TRUE(port.ended());
  EXPECT_EQ(port.host.ends.front().kind, GuestEnd::Kind::crashed);
  EXPECT_NE(port.host.ends.front().message.find("panicked"), std::string::npos);
}

TEST(I8042, ResetsOnItsResetCommandOnly) {
  FakeHost host;
  I8042 controller(host);
  const auto out = [&](std::uint64_t offset, unsigned value) {
    const std::array data = {static_cast<std::byte>(value)};
    controller.write(offset, data);
  };
  out(4, 0xd1);
  out(0, 0xfe);
  EXPECT_EQ(host.resets, 0);
  out(4, 0xfe);
  EXPECT_EQ(host.resets, 1);
}

// Linux's i8042_flush() reads until the output buffer is empty, and takes one that stays full for
// an absent controller; its kb_wait() waits for an empty input buffer before a reset.
TEST(I8042, LooksAbsentToADriverAndReadyToAReset) {
  FakeHost host;
  I8042 controller(host);
  const auto in = [&](std::uint64_t offset) {
    std::array<std::byte, 1> data{};
    controller.read(offset, data);
    return data.front();
  };
  for (int i = 0; i < 17; ++i) {
    EXPECT_EQ(in(4) & std::byte{0x01}, std::byte{0x01});
    in(0);
  }
  EXPECT_EQ(in(4) & std::byte{0x02}, std::byte{0});
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
