#include "devices/cmos_clock.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <stdexcept>

namespace devices {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::system_clock;

struct ClockFixture {
  system_clock::time_point now = sys_days(std::chrono::year(2026) / 11 / 29) + 21h + 34min + 56s;
  CmosClock device{[this] { return now; }};

  void select(unsigned index) { device.write(0, std::array{static_cast<std::byte>(index)}); }
  unsigned selected() {
    std::array<std::byte, 1> data{};
    device.read(1, data);
    return std::to_integer<unsigned>(data.front());
  }
  unsigned in(unsigned index) {
    select(index);
    return selected();
  }
};

TEST(CmosClock, HasTimeAndDateInBcd) {
  ClockFixture clock;
  EXPECT_EQ(clock.in(0x00), 0x56U);
  EXPECT_EQ(clock.in(0x02), 0x34U);
  EXPECT_EQ(clock.in(0x04), 0x21U);
  EXPECT_EQ(clock.in(0x06), 0x01U);  // a Sunday
  EXPECT_EQ(clock.in(0x07), 0x29U);
  EXPECT_EQ(clock.in(0x08), 0x11U);
  EXPECT_EQ(clock.in(0x09), 0x26U);
  EXPECT_EQ(clock.in(0x32), 0x20U);
}

TEST(CmosClock, GoesOverToTheNextDayAndCentury) {
  ClockFixture clock;
  clock.now = sys_days(std::chrono::year(2099) / 12 / 31) + 24h - 1ns;
  EXPECT_EQ(clock.in(0x04), 0x23U);
  EXPECT_EQ(clock.in(0x00), 0x59U);
  EXPECT_EQ(clock.in(0x32), 0x20U);
  clock.now += 1ns;
  EXPECT_EQ(clock.in(0x04), 0x00U);
  EXPECT_EQ(clock.in(0x07), 0x01U);
  EXPECT_EQ(clock.in(0x09), 0x00U);
  EXPECT_EQ(clock.in(0x32), 0x21U);
  clock.now = sys_days(std::chrono::year(2028) / 2 / 29);
  EXPECT_EQ(clock.in(0x07), 0x29U);
  EXPECT_EQ(clock.in(0x06), 0x03U);
}

// Linux takes no clock for one that counts to 12 or whose battery is empty.
TEST(CmosClock, CountsTo24HoursAndIsValidAndInterruptsNobody) {
  ClockFixture clock;
  EXPECT_EQ(clock.in(0x0b), 0x02U);
  EXPECT_EQ(clock.in(0x0c), 0x00U);
  EXPECT_EQ(clock.in(0x0d), 0x80U);
}

TEST(CmosClock, IsAmidAnUpdateShortlyBeforeTheNextSecond) {
  ClockFixture clock;
  EXPECT_EQ(clock.in(0x0a), 0x26U);
  clock.now += 999'755us;
  EXPECT_EQ(clock.in(0x0a), 0x26U);
  clock.now += 1us;
  EXPECT_EQ(clock.in(0x0a), 0xa6U);
  clock.now += 244us;
  EXPECT_EQ(clock.in(0x0a), 0x26U);
  EXPECT_EQ(clock.in(0x00), 0x57U);
}

TEST(CmosClock, KeepsItsTimeAndItsMode) {
  ClockFixture clock;
  for (const unsigned index : {0x00U, 0x04U, 0x0bU, 0x40U}) {
    const unsigned before = clock.in(index);
    clock.device.write(1, std::array{std::byte{0x11}});
    EXPECT_EQ(clock.in(index), before);
  }
  EXPECT_EQ(clock.in(0x40), 0U);
}

TEST(CmosClock, SelectsWhetherNmisAreMaskedOrNot) {
  ClockFixture clock;
  EXPECT_EQ(clock.in(0x80 | 0x09), 0x26U);
}

TEST(CmosClock, AnswersWiderAccessesToo) {
  ClockFixture clock;
  const std::array both = {std::byte{0x09}, std::byte{0x99}};  // as outw
  clock.device.write(0, both);
  EXPECT_EQ(clock.selected(), 0x26U);
  std::array<std::byte, 2> data{};
  clock.device.read(0, data);
  EXPECT_EQ(data, (std::array{std::byte{0xff}, std::byte{0xff}}));
}

TEST(CmosClock, MovesWithWhatIsSelectedAndTakesTheTimeOfItsHost) {
  ClockFixture from;
  from.select(0x80 | 0x09);
  ClockFixture to;
  to.now = sys_days(std::chrono::year(2031) / 1 / 1);
  to.device.load(1, from.device.save());
  EXPECT_EQ(to.selected(), 0x31U);
}

TEST(CmosClock, RefusesAnUnsoundState) {
  ClockFixture clock;
  const std::array good = {std::byte{0x7f}};
  EXPECT_NO_THROW(clock.device.load(1, good));
  EXPECT_THROW(clock.device.load(2, good), std::invalid_argument);
  EXPECT_THROW(clock.device.load(1, {}), std::invalid_argument);
  EXPECT_THROW(clock.device.load(1, std::array{std::byte{0x80}}), std::invalid_argument);
  EXPECT_THROW(clock.device.load(1, std::array{std::byte{0}, std::byte{0}}), std::invalid_argument);
}

}  // namespace
}  // namespace devices
